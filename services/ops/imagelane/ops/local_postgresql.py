"""The database of a stack on this machine: a file, or a real PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Final

from sqlalchemy.exc import OperationalError

from imagelane.ops import postgresql
from imagelane.ops.broker.server import HOST
from imagelane.ops.local_stack import LocalSetupError
from imagelane.ops.supervisor import Program, Say, Supervisor
from imagelane.tracker.migrating import migrate
from imagelane.tracking.database import DatabaseSettings, writing_engine

NAME: Final = "postgresql"
READY_SECONDS: Final = 60.0


def in_file(data: Path) -> dict[str, str]:
    """What services are told of a database that is a file."""
    return {"IMAGELANE_DATABASE__URL": f"sqlite:///{data / 'tracker.sqlite'}"}


async def in_postgresql(
    data: Path, *, port: int, password_file: Path, supervisor: Supervisor, tell: Say
) -> dict[str, str]:
    """A PostgreSQL that is ready, with the tables of this version. Raises `LocalSetupError`."""
    programs, folder = postgresql.require_programs(), data / NAME
    await asyncio.to_thread(postgresql.make_cluster, programs, folder, password_file)
    command = postgresql.command(programs, folder, port=port)
    supervisor.start(Program(NAME, command, stop_signal=signal.SIGINT))
    settings = DatabaseSettings(
        url=f"postgresql://{postgresql.USER}@{HOST}:{port}/postgres", password_file=password_file
    )
    await asyncio.to_thread(_migrated, settings, data)
    tell(NAME, f"answers at {HOST}:{port}, user {postgresql.USER}, password in {password_file}")
    return {
        "IMAGELANE_DATABASE__URL": settings.url,
        "IMAGELANE_DATABASE__PASSWORD_FILE": str(password_file),
    }


def _migrated(settings: DatabaseSettings, data: Path) -> None:
    """As the job `database` of a deployment does it, as soon as the server answers."""
    engine = writing_engine(settings)
    deadline = time.monotonic() + READY_SECONDS
    try:
        while True:
            try:
                migrate(engine)
            except OperationalError as error:
                if time.monotonic() > deadline:
                    raise LocalSetupError(
                        f"PostgreSQL did not start within {READY_SECONDS:.0f} s ({error.orig});"
                        f" see {data / 'logs' / NAME}.log"
                    ) from error
                time.sleep(0.1)
            else:
                return
    finally:
        engine.dispose()
