"""How the tracker is put together, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Engine

from imagelane.platform.health import serving
from imagelane.platform.settings import SettingsError
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing
from imagelane.tracker.following import Following
from imagelane.tracker.group_reader import GroupReader
from imagelane.tracker.ledger import Ledger
from imagelane.tracker.migrating import migrate
from imagelane.tracker.reader import Reader
from imagelane.tracker.retention import Retention
from imagelane.tracker.settings import Settings
from imagelane.tracker.spans import BatchSpans
from imagelane.tracking.database import (
    DatabaseError,
    FileWatch,
    UnansweredError,
    answered,
    require_revision,
    writing_engine,
)

SERVICE: Final = "tracker"
BATCH_BYTES: Final = 16 * 2**20
"""Of records as they come; what they become in memory is a few times that."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Writes down what all topics say until `stop` is set. Raises whatever it cannot go on from."""
    own = settings.tracker
    async with AsyncExitStack() as resources:
        tracing = resources.enter_context(open_tracing(SERVICE, settings.kafka))
        topology = TopologyWatch(settings, SERVICE)
        await topology.require()
        engine = writing_engine(settings.database)
        resources.callback(engine.dispose)
        await asyncio.to_thread(_prepare, engine, settings)

        open_reader = partial(
            Reader if settings.database.is_sqlite else GroupReader,
            settings.kafka,
            batch_records=own.batch_records,
            batch_bytes=BATCH_BYTES,
            batch_seconds=own.batch_seconds,
        )
        database = "sqlite" if settings.database.is_sqlite else "postgresql"
        following = Following(
            open_reader,
            Ledger(engine),
            Retention(engine, days=own.retention_days),
            FileWatch(settings.database).check,
            None if tracing is None else BatchSpans(tracing, database=database),
            strict_partitions=settings.kafka.strict_partitions,
        )
        await resources.enter_async_context(serving(settings.health, following, topology))
        ending = threading.Event()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(topology.observe())
            work = tasks.create_task(asyncio.to_thread(following.run, ending))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            ending.set()
            await work
            watching.cancel()
            stopping.cancel()


def _prepare(engine: Engine, settings: Settings) -> None:
    """A file gets its tables here. A PostgreSQL has others who use it: a person decides when."""
    try:
        if settings.database.is_sqlite:
            Path(settings.database.path).parent.mkdir(parents=True, exist_ok=True)
            before, now = migrate(engine)
            if before != now:
                structlog.get_logger("imagelane.tracker").info("database.migrated", revision=now)
        else:
            with answered(settings.database), engine.connect() as connection:
                require_revision(connection)
    except UnansweredError:
        raise  # it may be there when this process is started again
    except DatabaseError as error:
        raise SettingsError(f"IMAGELANE_DATABASE__URL: {error}") from error
