"""Several trackers on one PostgreSQL: each reads its own partitions, and whatever is killed, all rows come."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text
from tests.integration.test_tracker import Tracker, lives, produce
from tests.postgresql import own_database
from tests.unit.tracker.conftest import rows_in
from tests.unit.tracker.life import JobOfLife

from imagelane.ops.broker.server import free_port
from imagelane.platform.settings import KafkaSettings, SettingsError
from imagelane.tracker.app import _prepare
from imagelane.tracker.migrating import migrate
from imagelane.tracker.rebuilding import rebuild
from imagelane.tracker.settings import Settings
from imagelane.tracking.database import (
    DatabaseError,
    DatabaseSettings,
    UnansweredError,
    writing_engine,
)
from imagelane.tracking.queries import Queries
from imagelane.tracking.tables import SCHEMA_REVISION

PATIENCE_SECONDS: Final = 120.0
Rows = dict[str, list[tuple[object, ...]]]


@pytest.fixture
def database(postgresql: DatabaseSettings, request: pytest.FixtureRequest) -> DatabaseSettings:
    """An empty database of the test's own."""
    return own_database(postgresql, request.node.name)


def prepared(settings: DatabaseSettings) -> None:
    engine = writing_engine(settings)
    migrate(engine)
    engine.dispose()


def rows_of(settings: DatabaseSettings) -> Rows:
    engine = writing_engine(settings)
    try:
        return rows_in(engine)
    finally:
        engine.dispose()


async def until(condition: Callable[[], Awaitable[bool]], replicas: list[Tracker]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await condition():
        logs = "\n".join(one.log()[-3_000:] for one in replicas)
        assert time.monotonic() < deadline, f"rows are still missing\n{logs}"
        await asyncio.sleep(0.3)


async def has_images(settings: DatabaseSettings) -> bool:
    return bool(rows_of(settings)["images"])


async def all_finished(settings: DatabaseSettings, jobs: list[JobOfLife]) -> bool:
    queries = await Queries.open(settings)
    found = [await queries.job(one.job_id) for one in jobs]
    await queries.close()
    return all(one is not None and one.status == "finished" for one in found)


async def until_shared(replicas: list[Tracker]) -> None:
    """Waits until each has partitions."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        counts = [int((re.findall(r"now\D*(\d+)", one.log()) or ["0"])[-1]) for one in replicas]
        if all(counts):
            return
        assert time.monotonic() < deadline, counts
        await asyncio.sleep(0.2)


@pytest.mark.kafka
async def test_two_share_the_work_and_one_goes_on_for_both(
    kafka: KafkaSettings, database: DatabaseSettings, tmp_path: Path
) -> None:
    records, jobs = lives(7, images=60)
    prepared(database)
    own = {
        "DATABASE__URL": database.url,
        "DATABASE__PASSWORD_FILE": str(database.password_file),
        "TRACKER__BATCH_RECORDS": "60",
        "TRACKER__BATCH_SECONDS": "0.05",
    }
    alone = Tracker(kafka, tmp_path / "alone")
    replicas = [Tracker(kafka, tmp_path / name, own) for name in ("one", "two")]
    started = [one.start() for one in (*replicas, alone)]

    async def is_whole() -> bool:
        """Both databases have everything, and the same."""
        ended = await all_finished(database, jobs) and await all_finished(alone.database, jobs)
        return ended and rows_of(database) == alone.rows()

    try:
        await until_shared(replicas)
        half = len(records) // 2
        produce(kafka, records[:half])
        await until(lambda: has_images(database), replicas)
        await alone.read_everything()
        started[0].kill()
        produce(kafka, records[half:])
        await until(is_whole, replicas)
        engine = writing_engine(database)
        rebuild(engine, keep_before_ms=None)
        engine.dispose()
        started.append(replicas[0].start())
        await until(is_whole, replicas)
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_migrations_at_the_same_time_are_made_once(database: DatabaseSettings) -> None:
    engines = [writing_engine(database) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        earlier = [before for before, _now in threads.map(migrate, engines)]
    assert sorted(map(str, earlier)) == [*3 * [SCHEMA_REVISION], "None"]
    with engines[0].connect() as connection:
        assert connection.scalar(text("select count(*) from tracker")) == 1
    for engine in engines:
        engine.dispose()


async def test_what_is_wrong_with_the_database_is_said_with_its_variable(
    database: DatabaseSettings, tmp_path: Path, kafka_less: dict[str, object]
) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("another")
    away = database.url.replace(database.url.rpartition(":")[2], f"{free_port()}/any")
    cases = [
        (database.model_copy(update={"password_file": wrong}), "password authentication failed"),
        (database.model_copy(update={"password_file": None}), "no password supplied"),
        (database.model_copy(update={"url": f"{database.url}?sslmode=require"}), "SSL"),
        (database.model_copy(update={"url": f"{database.url}-not-there"}), "does not exist"),
        (database.model_copy(update={"url": away}), "onnection refused"),
    ]
    for settings, words in cases:
        pattern = rf"IMAGELANE_DATABASE__URL: postgresql://.*{words}(.|\n)*DATABASE__PASSWORD_FILE"
        with pytest.raises(UnansweredError, match=pattern):
            _prepare(writing_engine(settings), Settings(database=settings, **kafka_less))  # type: ignore[arg-type] # its Kafka
        with pytest.raises(DatabaseError, match=words):
            await Queries.open(settings)


@pytest.mark.parametrize(
    ("revision", "words"),
    [("0001", "run `imagelane tracker migrate`"), ("9999", "start the newer version")],
)
def test_tables_of_another_version_are_refused(
    database: DatabaseSettings, kafka_less: dict[str, object], revision: str, words: str
) -> None:
    prepared(database)
    engine = writing_engine(database)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = :r"), {"r": revision})
    with pytest.raises(SettingsError, match=words):
        _prepare(engine, Settings(database=database, **kafka_less))  # type: ignore[arg-type] # its Kafka
    if revision == "9999":
        with pytest.raises(DatabaseError, match="newer version"):
            migrate(engine)
    engine.dispose()


def test_the_command_line_says_it_in_one_line(database: DatabaseSettings, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("another")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("imagelane")), "tracker", "migrate"],
        env={
            "IMAGELANE_DATABASE__URL": database.url,
            "IMAGELANE_DATABASE__PASSWORD_FILE": str(wrong),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "password authentication failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def kafka_less() -> dict[str, object]:
    return {"kafka": KafkaSettings(bootstrap_servers="127.0.0.1:9")}
