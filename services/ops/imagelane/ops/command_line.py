"""What all commands share: their settings, and how they end when they cannot go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NoReturn, TypeVar

import msgspec
import typer
from pydantic import Field

from imagelane.contracts.events import Event
from imagelane.ops.commanding import person
from imagelane.platform.settings import DEFAULT_DEPLOYMENT, EnvironmentSettings, KafkaSettings

By = Annotated[str | None, typer.Option(help="Who decides; your login without it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
E = TypeVar("E", bound=Event)


class CommandSettings(EnvironmentSettings):
    """What commands that talk with a broker read from the environment."""

    kafka: KafkaSettings = Field(description="The same variables as for the services.")
    deployment_id: str = Field(
        default=DEFAULT_DEPLOYMENT, description="The same variable as for the services."
    )


def fail(text: str, code: int = 1) -> NoReturn:
    """Says the text on standard error and ends the command."""
    typer.echo(text, err=True)
    raise typer.Exit(code)


def valid(kind: type[E], fields: Mapping[str, object], names: Mapping[str, str]) -> E:
    """The event of these fields; ends the command if one does not fit, by the parameter's name."""
    try:
        return msgspec.convert({"type": kind.__struct_config__.tag, **fields}, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        for field, name in names.items():
            text = text.replace(f"`$.{field}`", name)
        fail(text, code=2)


def decider(by: str | None) -> str:
    """Who decides. Ends the command if nobody is named, and nobody has logged in."""
    name = person() if by is None else by
    if not name:
        fail("--by is needed: who decides?", code=2)
    return name
