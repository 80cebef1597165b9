"""What all commands share: their settings, and how they end when they cannot go on."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn, TypeVar

import msgspec
import typer
from pydantic import Field

from imagelane.contracts.events import Event, ListSubmitted
from imagelane.ops.refusals import told
from imagelane.platform.settings import (
    DEFAULT_DEPLOYMENT,
    EnvironmentSettings,
    KafkaSettings,
    SettingsError,
    load,
)

By = Annotated[str | None, typer.Option(help="Who decides; your login without it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
OverKafka = Annotated[
    bool, typer.Option("--kafka", help="Past the gateway: it needs the broker, and no API key.")
]
E = TypeVar("E", bound=Event | ListSubmitted)


_pattern: Final = re.compile(r"Expected `str` matching regex '.*?'(?= - at|$)")


class CommandSettings(EnvironmentSettings):
    """What commands that talk with a broker read from the environment."""

    kafka: KafkaSettings = Field(description="The same variables as for the services.")
    deployment_id: str = Field(
        default=DEFAULT_DEPLOYMENT, description="The same variable as for the services."
    )


def broker_settings() -> CommandSettings:
    """For a command that asks the broker where no gateway is named. Ends it where neither is."""
    try:
        return load(CommandSettings)
    except SettingsError as error:
        fail(f"{error}\nor name a gateway: --gateway or IMAGELANE_GATEWAY_URL", code=2)


def fail(text: str, code: int = 1) -> NoReturn:
    """Says the text on standard error and ends the command."""
    typer.echo(text, err=True)
    raise typer.Exit(code)


@contextmanager
def spoken(*kinds: type[Exception]) -> Iterator[None]:
    """Ends the command with the words of an error of these kinds."""
    try:
        yield
    except kinds as error:
        fail(told(error))


def valid(kind: type[E], fields: Mapping[str, object], names: Mapping[str, str]) -> E:
    """The event of these fields; ends the command if one does not fit, by the parameter's name."""
    try:
        tag = kind.__struct_config__.tag
        return msgspec.convert(fields if tag is None else {"type": tag, **fields}, kind)
    except msgspec.ValidationError as error:
        text = in_words(error)
        for field, name in names.items():
            text = text.replace(f"`$.{field}`", name)
        fail(text, code=2)


def in_words(error: msgspec.ValidationError) -> str:
    """The error without a regular expression in it, which tells a person nothing."""
    return _pattern.sub("it has a form or characters that it may not have", str(error))


def decider(by: str | None) -> str:
    """Who decides. Ends the command if nobody is named, and nobody has logged in."""
    name = _login() if by is None else by
    if not name:
        fail("--by is needed: who decides?", code=2)
    return name


def _login() -> str:
    """The name under which the person has logged in; empty where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
