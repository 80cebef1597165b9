"""The tracker as a process on a real broker: killed, restarted, rebuilt, it always has the same rows."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer
from tests.unit.tracker.conftest import rows_in
from tests.unit.tracker.life import Broker, JobOfLife, interleaved, live, some_job

from imagelane.contracts.topics import CALLS, JOBS
from imagelane.platform.dead_letters import dead_letter_headers
from imagelane.platform.producer import PRODUCER_DEFAULTS
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings
from imagelane.tracker.rebuilding import rebuild
from imagelane.tracking.database import DatabaseSettings, writing_engine
from imagelane.tracking.queries import Queries

PATIENCE_SECONDS: Final = 90.0
IMAGES: Final = 150
pytestmark = pytest.mark.kafka


@dataclass
class Tracker:
    """One tracker process and its database."""

    kafka: KafkaSettings
    folder: Path
    own: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def database(self) -> DatabaseSettings:
        return DatabaseSettings(url=f"sqlite:///{self.folder}/db/tracker.db")

    def start(self) -> subprocess.Popen[bytes]:
        kafka = self.kafka
        values = {
            "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "KAFKA__STRICT_PARTITIONS": str(kafka.strict_partitions),
            "KAFKA__SPREAD_PARTITIONS": str(kafka.spread_partitions),
            "DATABASE__URL": self.database.url,
            **self.own,
        }
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "imagelane.tracker"],
                env={f"IMAGELANE_{name}": one for name, one in values.items()},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def read_everything(self, change: int = 0) -> None:
        """Waits until nothing is left to read, and something was written after `change`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if (self.folder / "db" / "tracker.db").exists() and "following.begun" in self.log():
                queries = await Queries.open(self.database)
                freshness = await queries.freshness()
                newest = await queries.progress(since=change, limit=1)
                await queries.close()
                if newest and freshness.behind == 0:
                    return
            await asyncio.sleep(0.1)
        raise AssertionError(f"the tracker has not read everything:\n{self.log()}")

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        engine = writing_engine(self.database)
        try:
            return rows_in(engine)
        finally:
            engine.dispose()

    def written(self) -> int:
        return sum(map(len, self.rows().values()))


Start = Callable[..., Tracker]


@pytest.fixture
def tracker(kafka: KafkaSettings, tmp_path: Path) -> Iterator[Start]:
    made: list[Tracker] = []

    def make(name: str = "one", **own: str) -> Tracker:
        made.append(Tracker(kafka, tmp_path / name, own))
        return made[-1]

    yield make
    for process in (process for one in made for process in one.processes):
        process.kill()
        process.wait()


def produce(kafka: KafkaSettings, records: list[Record]) -> None:
    """In their order, and the dispatcher's log in transactions, whose ends are records too."""
    common = {**PRODUCER_DEFAULTS, "bootstrap.servers": kafka.bootstrap_servers}
    plain = Producer(common)
    fence = {"transactional.id": kafka.group("tests"), "transaction.timeout.ms": 120_000}
    fenced = Producer({**common, **fence})
    fenced.init_transactions(PATIENCE_SECONDS)
    for one in records:
        producer = fenced if one.topic == CALLS else plain
        if producer is fenced:
            producer.begin_transaction()
        producer.produce(
            kafka.topic(one.topic),
            key=one.key,
            value=one.value,
            headers=one.headers,  # type: ignore[arg-type] # the stubs want str | bytes | None values
        )
        if producer is fenced:
            producer.commit_transaction(PATIENCE_SECONDS)
        producer.poll(0)
    assert plain.flush(PATIENCE_SECONDS) == 0


def lives(seed: int, images: int = IMAGES) -> tuple[list[Record], list[JobOfLife]]:
    """Three jobs of two customers, as their records come in over time."""
    rng = random.Random(seed)
    broker = Broker(rng)
    jobs = [some_job(rng, customer, images) for customer in ("acme", "acme", "globex")]
    seqs = {"acme": 1, "globex": 1}
    for job in jobs:
        seqs[job.customer_id] = live(broker, job, seqs[job.customer_id])
    unreadable = Record(JOBS, 0, 0, b"acme", b"{", [], 0)
    headers = dead_letter_headers(unreadable, ValueError("no end"), group="imagelane-batcher")
    put_aside = Record("dlq.jobs", 0, 0, b"acme", b"{", headers, 0)
    return [*interleaved(rng, broker.log), unreadable, put_aside], jobs


async def test_killed_at_any_time_the_tracker_has_the_rows_of_one_that_was_not(
    kafka: KafkaSettings, tracker: Start
) -> None:
    records, jobs = lives(1)
    undisturbed = tracker("undisturbed")
    killed = tracker("killed", TRACKER__BATCH_RECORDS="60", TRACKER__BATCH_SECONDS="0.05")
    undisturbed.start()
    begun = killed.start()
    for part in range(4):
        size = len(records) // 4 + 1
        produce(kafka, records[part * size : (part + 1) * size])
        before = killed.written() if part else 0
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "database.migrated" not in killed.log() or killed.written() == before:
            assert time.monotonic() < deadline, killed.log()
            await asyncio.sleep(0.02)
        begun.kill()
        begun.wait()
        begun = killed.start()
    await undisturbed.read_everything()
    await killed.read_everything()
    rows = undisturbed.rows()
    assert killed.rows() == rows
    assert len(rows["images"]) == 3 * IMAGES
    assert {row[3] for row in rows["dead_letters"]} == {"tracker", "batcher"}
    queries = await Queries.open(killed.database)
    for job in jobs:
        status = await queries.job(job.job_id)
        assert status is not None
        assert status.status == "finished"
        assert (status.counts.delivered, status.counts.failed) == (
            len(job.delivered),
            len(job.failed),
        )
    await queries.close()


async def test_a_rebuild_under_way_gives_the_same_answers(
    kafka: KafkaSettings, tracker: Start
) -> None:
    records, jobs = lives(2, images=60)
    one = tracker()
    process = one.start()
    produce(kafka, records)
    await one.read_everything()
    before = one.rows()
    queries = await Queries.open(one.database)
    newest = max(job.change for job in (await queries.jobs()).items)
    engine = writing_engine(one.database)
    assert rebuild(engine, keep_before_ms=None) == 0
    engine.dispose()
    await one.read_everything(newest)
    assert one.rows() == before
    assert "rebuild.begun" in one.log()
    assert (await queries.job(jobs[0].job_id)) is not None
    await queries.close()
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0


async def test_a_database_deleted_in_the_middle_is_made_again_with_the_same_answers(
    kafka: KafkaSettings, tracker: Start
) -> None:
    records, jobs = lives(3, images=60)
    undisturbed, robbed = tracker("undisturbed"), tracker("robbed")
    undisturbed.start()
    begun = robbed.start()
    half = len(records) // 2
    produce(kafka, records[:half])
    await robbed.read_everything()
    for file in robbed.folder.glob("db/*"):
        file.unlink()
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS) == 1
    assert "tracker.db was deleted" in robbed.log()
    robbed.start()  # as its supervisor would
    deadline = time.monotonic() + PATIENCE_SECONDS
    while robbed.log().count("following.begun") < 2:
        assert time.monotonic() < deadline, robbed.log()
        await asyncio.sleep(0.05)
    produce(kafka, records[half:])
    await undisturbed.read_everything()
    await robbed.read_everything()
    assert robbed.rows() == undisturbed.rows()
    queries = await Queries.open(robbed.database)
    for job in jobs:
        status = await queries.job(job.job_id)
        assert status is not None
        assert status.status == "finished"
        assert status.notice is not None
        assert status.notice.state == "delivered"
    await queries.close()


def test_a_missing_topic_or_setting_is_named(tracker: Start) -> None:
    one = tracker(KAFKA__TOPIC_PREFIX="nobodys-")
    assert one.start().wait(PATIENCE_SECONDS) == 1
    assert "nobodys-" in one.log()
    two = tracker("two", DATABASE__URL="mysql://x@y/z")
    assert two.start().wait(PATIENCE_SECONDS) == 2
    assert "IMAGELANE_DATABASE__URL" in two.log()
