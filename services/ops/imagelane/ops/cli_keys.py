"""`imagelane keys`: API keys for the gateway."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import typer
from confluent_kafka import KafkaException
from msgspec import UNSET
from pydantic import Field

from imagelane.contracts.fields import CustomerId, Text255
from imagelane.contracts.keys import KeyRecorded, Scope
from imagelane.core.api_keys import is_live
from imagelane.ops import key_records
from imagelane.ops.command_line import CommandSettings, fail, in_words, spoken
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.key_records import ApiKeyError
from imagelane.platform.key_log import read_keys
from imagelane.platform.latest_records import ReadingTooLongError
from imagelane.platform.notify_settings import NotifySigningSettings, secrets_of
from imagelane.platform.settings import EnvironmentSettings, load_or_exit

EXPECTED: Final = (ApiKeyError, DeliveryError, KafkaException, ReadingTooLongError)
SCOPES: Final[tuple[Scope, ...]] = ("submit", "read")

app = typer.Typer(no_args_is_help=True, help="API keys for the gateway.")


class NotifyCommandSettings(EnvironmentSettings):
    """What `notify-secret` reads from the environment: no broker is asked."""

    notify_signing: NotifySigningSettings = Field(
        default=NotifySigningSettings(), description="The same variables as for the services."
    )


AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON each.")]


@app.command()
def create(
    customer: Annotated[str | None, typer.Option(help="Whose lists it hands in and sees.")] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Sees everything of everybody, and decides.")
    ] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="submit or read; both without it. May be repeated.")
    ] = None,
    name: Annotated[str, typer.Option(help="Who or what uses it.")] = "unnamed",
    days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="After so many days it opens nothing.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Makes a key, and shows it this once: only its SHA-256 is kept."""
    if (customer is None) != operator:
        fail("either --customer or --operator is needed, and not both", code=2)
    if operator and scope:
        fail("--scope: an operator's key has the scope operate", code=2)
    scopes: list[Scope] = ["operate"] if operator else _scopes(scope)
    _check("--name", name, Text255)
    if customer is not None:
        _check("--customer", customer, CustomerId)
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    with spoken(*EXPECTED):
        key, token = key_records.create(
            load_or_exit(CommandSettings).kafka,
            name=name,
            customer_id=customer,
            scopes=scopes,
            expires_at=expires_at,
        )
    if as_json:
        typer.echo(msgspec.json.encode({"key": token, **_told(key)}).decode())
        return
    typer.echo(token)
    typer.echo("keep it: it is shown this once, and stored nowhere", err=True)


@app.command("list")
def list_keys(
    customer: Annotated[str | None, typer.Option(help="Only this customer's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lists all keys, without their secrets."""
    with spoken(*EXPECTED):
        ring = read_keys(load_or_exit(CommandSettings).kafka)
    keys = [key for key in ring.all() if customer in (None, key.customer_id)]
    width = max((len(_whose(key)) for key in keys), default=0)
    for key in keys:
        one = _told(key)
        if as_json:
            typer.echo(msgspec.json.encode(one).decode())
        else:
            scopes = ",".join(key.scopes)
            line = f"{key.key_id}  {one['state']:8}  {scopes:12}  {_whose(key):{width}}  {key.name}"
            typer.echo(line)


def _whose(key: KeyRecorded) -> str:
    return key.customer_id or "(operator)"


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id: the part between the underscores.")],
) -> None:
    """Ends a key, everywhere within a second."""
    with spoken(*EXPECTED):
        key_records.revoke(load_or_exit(CommandSettings).kafka, key_id)
    typer.echo(f"{key_id} is revoked")


@app.command("notify-secret")
def notify_secret(
    customer: Annotated[str, typer.Argument(help="Whose receiver verifies with it.")],
    as_json: AsJson = False,
) -> None:
    """Shows what notices to a customer's notify_url are signed with: the newest first, one a line."""
    _check("CUSTOMER", customer, CustomerId)
    masters = load_or_exit(NotifyCommandSettings).notify_signing.masters()
    if not masters:
        fail("IMAGELANE_NOTIFY_SIGNING__SECRET_FILES: there is no master secret", code=2)
    shown = secrets_of(masters, customer)
    if as_json:
        answer = {"customer_id": customer, "secrets": shown}
        typer.echo(msgspec.json.encode(answer).decode())
        return
    for secret in shown:
        typer.echo(secret)


def _told(key: KeyRecorded) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "state": _state(key),
        "customer_id": key.customer_id or None,
        "scopes": key.scopes,
        "name": key.name,
        "created_at": key.occurred_at,
        "expires_at": key.expires_at or None,
        "revoked_at": key.revoked_at or None,
    }


def _state(key: KeyRecorded) -> str:
    if key.revoked_at is not UNSET:
        return "revoked"
    return "live" if is_live(key, datetime.now(UTC)) else "expired"


def _scopes(given: list[str] | None) -> list[Scope]:
    for one in given or ():
        if one not in SCOPES:
            fail(f"--scope: {one!r} is none of {', '.join(SCOPES)}", code=2)
    return [one for one in SCOPES if not given or one in given]


def _check(option: str, value: str, kind: Any) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        fail(f"{option}: {in_words(error)}", code=2)
