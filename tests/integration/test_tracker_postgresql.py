"""The tracker's database on a real PostgreSQL: the same rows and the same answers as in a file."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from sqlalchemy import Engine
from tests.unit.tracker.conftest import rows_in
from tests.unit.tracker.life import Broker, accept, interleaved, live, some_job

from imagelane.contracts import commands as c
from imagelane.contracts.codec import encode
from imagelane.contracts.hosts import HostRecorded, host_key
from imagelane.platform.records import Record
from imagelane.tracker.core.changes import Changes
from imagelane.tracker.core.taking import take
from imagelane.tracker.ledger import Ledger, Position
from imagelane.tracker.migrating import migrate
from imagelane.tracker.rebuilding import rebuild
from imagelane.tracker.retention import Retention
from imagelane.tracking.database import DatabaseSettings, writing_engine
from imagelane.tracking.queries import Queries
from imagelane.tracking.views import ImageTrail

DAY_MS: Final = 86_400_000


def some_records() -> list[Record]:
    rng = random.Random(4)
    broker = Broker(rng)
    seqs = {"acme": 1, "globex": 1}
    jobs = [some_job(rng, customer, 40) for customer in ("acme", "globex", "acme")]
    for job in jobs:
        seqs[job.customer_id] = live(broker, job, seqs[job.customer_id])
    broker.append(
        c.DeleteJob(
            customer_id="globex",
            job_id=jobs[1].job_id,
            decided_by="kim\0",
            occurred_at=broker.tick(),
        )
    )
    accept(broker, some_job(rng, "acme", 6, failing=0))  # its images wait for the downloader
    unreadable = Record("jobs", 0, 10**6, None, b"{\0", [], 5)
    return [*interleaved(rng, broker.log, again=0.1), *told_of_hosts(), unreadable]


def told_of_hosts() -> list[Record]:
    """A server is left alone for an hour; then what was told before comes again."""
    now = datetime.now(UTC)
    event = HostRecorded(
        host="shop.example",
        worker="downloader-0",
        state="asked_to_wait",
        images_at_a_time=1,
        occurred_at=now,
        holds_until=now + timedelta(hours=1),
        resumes_at=now + timedelta(hours=1),
        trouble="rate_limited",
    )
    older = replace(event, state="slowed", occurred_at=now - timedelta(hours=1))
    return [
        Record("hosts", 0, offset, host_key(one), encode(one), [], 0)
        for offset, one in enumerate((event, older))
    ]


def write(engine: Engine, records: list[Record], size: int) -> None:
    ledger = Ledger(engine)
    ledger.open()
    for begin in range(0, len(records), size):
        changes = Changes()
        for record in records[begin : begin + size]:
            take(changes, record)
        ledger.write(changes, {("jobs", 0): Position(begin, begin + 1)}, now_ms=begin)


async def answers(settings: DatabaseSettings) -> list[Any]:
    """Everything that can be asked."""
    queries = await Queries.open(settings)
    page = await queries.jobs(limit=2)
    rest = await queries.jobs(cursor=page.next_cursor)
    found: list[Any] = [page, rest, await queries.jobs(status="finished", customer_id="acme")]
    for job in page.items + rest.items:
        first = await queries.images(job.job_id, limit=7)
        assert first is not None
        found += [first, await queries.images(job.job_id, cursor=first.next_cursor, text="SHO")]
        found += [await queries.images(job.job_id, status="failed", code="timeout")]
        found += [await queries.image(job.job_id, index) for index in (0, 5)]
        found += [chunk async for chunk in queries.results(job.job_id, chunk=9)]
        found += [await queries.job_trail(job.job_id), await queries.failures(job_id=job.job_id)]
    found += [await queries.lanes(), await queries.lanes(state="idle", limit=1)]
    calls = await queries.calls("acme", limit=2)
    found += [calls, await queries.calls("acme", cursor=calls.next_cursor)]
    found += [await queries.failures(), await queries.failures(customer_id="acme")]
    found += [await queries.dead_letters(), await queries.freshness()]
    found += [len(await queries.progress(since=0))]
    await queries.close()
    return found


async def test_postgresql_has_the_same_rows_and_answers_as_a_file(
    postgresql: DatabaseSettings, tmp_path: Path
) -> None:
    file = DatabaseSettings(url=f"sqlite:///{tmp_path}/tracker.db")
    records = some_records()
    engines = [writing_engine(file), writing_engine(postgresql)]
    for engine in engines:
        assert migrate(engine)[0] is None
        assert migrate(engine)[0] is not None
        write(engine, records, 151)
    assert rows_in(engines[1]) == rows_in(engines[0])
    told = await answers(postgresql)
    assert told == await answers(file)
    waiting = [one for one in told if isinstance(one, ImageTrail) and one.server is not None]
    assert {one.server.state for one in waiting if one.server} == {"asked_to_wait"}
    for engine in engines:
        write(engine, records, 1_000)
        keeper = Retention(engine, days=90)
        while keeper.step(int(records[0].timestamp_ms) + DAY_MS):
            pass
    rows = rows_in(engines[1])
    assert rows == rows_in(engines[0])
    assert len(rows["jobs"]) == 3
    for engine in engines:
        assert rebuild(engine, keep_before_ms=None) == 0
        write(engine, records, 500)
        engine.dispose()
    assert await answers(postgresql) == await answers(file)
