"""A database of one's own for each test, and what reads and writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from tests.postgresql import MISSING, own_database, server_programs, serving

from imagelane.platform.records import Record
from imagelane.tracker.core.changes import Changes
from imagelane.tracker.core.taking import take
from imagelane.tracker.ledger import Ledger, Position
from imagelane.tracker.migrating import migrate
from imagelane.tracking.database import DatabaseSettings, writing_engine
from imagelane.tracking.queries import Queries
from imagelane.tracking.tables import metadata

OPTION = "--tracker-database"
Rows = dict[str, list[tuple[Any, ...]]]
Write = Callable[[Iterable[Record]], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, choices=("sqlite", "postgresql"), default="sqlite")


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[DatabaseSettings | None]:
    """A PostgreSQL, if these tests shall run on one."""
    if pytestconfig.getoption(OPTION, "sqlite") == "sqlite":
        yield None
        return
    programs = server_programs()
    if programs is None:
        pytest.exit(MISSING, returncode=2)
    with serving(programs) as settings:
        yield settings


@pytest.fixture
def database(
    tmp_path: Path, server: DatabaseSettings | None, request: pytest.FixtureRequest
) -> DatabaseSettings:
    if server is None:
        return DatabaseSettings(url=f"sqlite:///{tmp_path}/tracker.db")
    return own_database(server, request.node.nodeid)


@pytest.fixture
def engine(database: DatabaseSettings) -> Iterator[Engine]:
    engine = writing_engine(database)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    ledger = Ledger(engine)
    ledger.open()
    return ledger


@pytest.fixture
def write(ledger: Ledger) -> Write:
    """Writes records as the tracker would, in one batch."""

    def all_of(records: Iterable[Record]) -> None:
        changes = Changes()
        positions = {}
        for record in records:
            take(changes, record)
            at = record.topic, record.partition
            positions[at] = Position(record.offset + 1, record.offset + 1)
        ledger.write(changes, positions, now_ms=1)

    return all_of


@pytest.fixture
async def queries(database: DatabaseSettings, engine: Engine) -> AsyncIterator[Queries]:
    assert engine.url.database is not None  # it is made by now
    queries = await Queries.open(database)
    yield queries
    await queries.close()


def rows_in(engine: Engine, *, without: Sequence[str] = ("positions", "tracker")) -> Rows:
    """Everything in the database but the numbers by which changes of jobs are followed."""
    found = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            if table.name not in without:
                columns = [column for column in table.c if column.name != "change"]
                rows = connection.execute(select(*columns)).all()
                found[table.name] = sorted(map(tuple, rows), key=repr)
    return found
