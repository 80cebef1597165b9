"""`imagelane produce`: a list straight onto the topic `urls`, as other systems put it there."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from imagelane.contracts.events import ListSubmitted
from imagelane.ops.client.connection import AsJson
from imagelane.ops.command_line import CommandSettings, fail, valid
from imagelane.ops.submission import SubmissionError, submit
from imagelane.platform.settings import load_or_exit

WRONG_USAGE: Final = 2
STANDARD_INPUT: Final = Path("-")
NAMES: Final = {
    "customer_id": "--customer",
    "urls": "FILE",
    "list_url": "--list-url",
    "idempotency_key": "--idempotency-key",
    "recipe": "--recipe",
    "destination": "--destination",
    "deadline": "--deadline",
    "notify_url": "--notify-url",
}


Customer = Annotated[str, typer.Option(help="Whose list it is.")]
File = Annotated[Path | None, typer.Argument(help="One URL a line; - is standard input.")]
ListUrl = Annotated[str | None, typer.Option(help="Where the list lies, instead.")]
Key = Annotated[
    str | None, typer.Option("--idempotency-key", "--key", help="The same is the same job.")
]
Deadline = Annotated[str | None, typer.Option(help="Such as 2026-12-24T18:00:00Z.")]
NotifyUrl = Annotated[str | None, typer.Option(help="Where a signed webhook goes.")]


def produce(
    customer: Customer,
    file: File = None,
    *,
    list_url: ListUrl = None,
    idempotency_key: Key = None,
    recipe: str = "default",
    destination: str = "default",
    deadline: Deadline = None,
    notify_url: NotifyUrl = None,
    as_json: AsJson = False,
) -> None:
    """Puts one list on the topic `urls`, past the gateway. It needs the broker, and no API key."""
    if (file is None) == (list_url is None):
        fail("either FILE or --list-url is needed, and not both", WRONG_USAGE)
    fields = {
        "customer_id": customer,
        "urls": None if file is None else _lines(file),
        "list_url": list_url,
        "idempotency_key": idempotency_key,
        "recipe": recipe,
        "destination": destination,
        "deadline": deadline,
        "notify_url": notify_url,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    event = valid(ListSubmitted, given, NAMES)
    try:
        place = submit(load_or_exit(CommandSettings).kafka, event)
    except SubmissionError as error:
        fail(str(error))
    if as_json:
        typer.echo(msgspec.json.encode(place))
        return
    typer.echo(f"{place.topic} partition {place.partition} offset {place.offset}")
    typer.echo(f"handed in; look: imagelane jobs --customer {shlex.quote(customer)}", err=True)


def _lines(file: Path) -> list[str]:
    try:
        raw = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        fail(f"FILE: {file}: {error.strerror}", WRONG_USAGE)
    text = raw.decode("utf-8-sig", errors="replace")
    return [line.strip(" \t\r") for line in text.split("\n") if line.strip(" \t\r")]
