"""`imagelane tracker`: the tracker's database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import Field
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops.command_line import fail
from imagelane.platform.settings import EnvironmentSettings, load_or_exit
from imagelane.tracker import rebuilding
from imagelane.tracker.migrating import migrate as migrate_database
from imagelane.tracking.database import (
    DatabaseError,
    DatabaseSettings,
    require_file,
    require_revision,
    writing_engine,
)
from imagelane.tracking.queries import Queries

app = typer.Typer(no_args_is_help=True, help="The tracker's database.")


class TrackerCommandSettings(EnvironmentSettings):
    """What these commands read from the environment."""

    database: DatabaseSettings = Field(description="The same variables as for the tracker.")


@app.command()
def migrate() -> None:
    """Brings the database to the tables of this version."""
    with _engine(must_exist=False) as engine:
        before, now = migrate_database(engine)
    if before == now:
        typer.echo(f"the database is at {now} already")
    else:
        typer.echo(f"the database was at {before or 'nothing'} and is at {now}")


@app.command()
def rebuild(
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also jobs so old that the topics do not tell of all their images any more.",
        ),
    ] = False,
) -> None:
    """Lets the tracker read all topics from their beginning again; it may be running meanwhile."""
    memory_ms = rebuilding.memory_ms(read_topic_files(schemas_folder()).values())
    before_ms = None if everything else time.time_ns() // 1_000_000 - memory_ms
    with _engine() as engine:
        with engine.connect() as connection:
            require_revision(connection)
        kept = rebuilding.rebuild(engine, keep_before_ms=before_ms)
    if before_ms is not None:
        began = datetime.fromtimestamp(before_ms / 1_000, UTC)
        typer.echo(f"kept {kept} jobs that began before {began:%Y-%m-%d %H:%M} UTC")
    typer.echo("the tracker reads everything again: `imagelane tracker status` tells how far it is")


@app.command()
def status() -> None:
    """How far the tracker has read."""
    settings = load_or_exit(TrackerCommandSettings)
    try:
        behind, written_at = asyncio.run(_freshness(settings.database))
    except DatabaseError as error:
        fail(str(error))
    when = "never" if written_at is None else f"{written_at:%Y-%m-%d %H:%M:%S} UTC"
    typer.echo(f"{behind} records are not read yet; last written {when}")


async def _freshness(settings: DatabaseSettings) -> tuple[int, datetime | None]:
    queries = await Queries.open(settings)
    try:
        found = await queries.freshness()
    finally:
        await queries.close()
    return found.behind, found.written_at


@contextmanager
def _engine(*, must_exist: bool = True) -> Iterator[Engine]:
    """Ends the command with a message where the database is not there, or does not answer."""
    settings = load_or_exit(TrackerCommandSettings).database
    engine = writing_engine(settings)
    try:
        if must_exist:
            require_file(settings)
        yield engine
    except DatabaseError as error:
        fail(str(error))
    except DBAPIError as error:
        fail(f"the tracker's database: {error.orig}")
    finally:
        engine.dispose()
