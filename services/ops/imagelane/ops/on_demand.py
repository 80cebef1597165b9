"""Commands that are imported when they are asked for: who wants `status` does not wait for a database client."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command


class OnDemand(TyperGroup):
    """`places` has `module:name` for each command: a function, or a `Typer` of its own."""

    places: ClassVar[Mapping[str, str]]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the library's signature
        """Their names, in the order in which they are shown."""
        return [*self.places]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the library's signature
        """The command, or None."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = get_command(_as_app(getattr(import_module(module), name)))
        command.name = cmd_name
        return command


def _as_app(found: Any) -> typer.Typer:
    if isinstance(found, typer.Typer):
        return found
    app = typer.Typer(add_completion=False)
    app.command()(found)
    return app
