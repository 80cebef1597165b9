"""What is deleted, what stays, and that nothing brings it back."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.unit.tracker.conftest import Write, rows_in
from tests.unit.tracker.life import (
    BEGIN,
    PARTITIONS,
    Broker,
    JobOfLife,
    accept,
    live,
    some_job,
)

from imagelane.contracts import commands as c
from imagelane.core.partitioning import partition_of
from imagelane.platform.records import Record
from imagelane.tracker import retention
from imagelane.tracker.retention import DAY_MS, Retention

BEGIN_MS = int(BEGIN.timestamp() * 1_000)
OF_JOBS = ("jobs", "job_sets", "failures", "images", "image_steps", "job_steps", "call_images")


@pytest.fixture
def broker() -> Broker:
    return Broker(random.Random(11))


def everything(broker: Broker) -> list[Record]:
    return [record for part in broker.log.values() for record in part]


def delete_all(engine: Engine, now_ms: int) -> None:
    steps = 0
    keeper = Retention(engine, days=90)
    while keeper.step(now_ms):
        steps += 1
        assert steps < 100


def asked(broker: Broker, job: JobOfLife | None, customer: str = "acme") -> None:
    by: dict[str, Any] = {"customer_id": customer, "decided_by": "kim"}
    command = c.DeleteJob(**by, job_id=job.job_id, occurred_at=broker.tick()) if job else None
    broker.append(command or c.DeleteCustomer(**by, occurred_at=broker.tick()))


def test_a_job_goes_with_all_its_rows_when_it_is_old(
    engine: Engine, write: Write, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "IMAGES_AT_A_TIME", 4)
    live(broker, some_job(broker.rng, "acme", 10))
    write(everything(broker))
    delete_all(engine, BEGIN_MS + 90 * DAY_MS)
    assert len(rows_in(engine)["images"]) == 10
    delete_all(engine, BEGIN_MS + 91 * DAY_MS)
    left = rows_in(engine)
    assert not any(left[name] for name in (*OF_JOBS, "lanes", "calls", "call_steps"))
    assert len(left["forgotten"]) == 1


def test_a_job_that_runs_is_never_too_old(engine: Engine, write: Write, broker: Broker) -> None:
    accept(broker, some_job(broker.rng, "acme", 3))
    write(everything(broker))
    before = rows_in(engine)
    delete_all(engine, BEGIN_MS + 900 * DAY_MS)
    assert rows_in(engine) == before


def test_nothing_brings_a_forgotten_job_back(engine: Engine, write: Write, broker: Broker) -> None:
    job = some_job(broker.rng, "acme", 4)
    live(broker, job)
    asked(broker, job)
    write(everything(broker))
    delete_all(engine, BEGIN_MS)
    write(everything(broker))
    left = rows_in(engine)
    assert not any(left[name] for name in OF_JOBS)
    delete_all(engine, BEGIN_MS + 101 * DAY_MS)
    assert not any(rows_in(engine).values())


def test_a_deletion_waits_for_the_end_of_the_job_and_takes_nothing_else(
    engine: Engine, write: Write, broker: Broker
) -> None:
    named, other = (some_job(broker.rng, "acme", 3, failing=0) for _ in range(2))
    asked(broker, named)
    accept(broker, named)
    live(broker, other)
    write(everything(broker))
    delete_all(engine, BEGIN_MS)
    assert len(rows_in(engine)["jobs"]) == 2
    broker.log.clear()
    live(broker, named, seq=3)
    write(everything(broker))
    delete_all(engine, BEGIN_MS)
    left = rows_in(engine)
    assert [row[1] for row in left["jobs"]] == [other.job_id]
    assert len(left["images"]) == 3
    assert {row[1] for row in left["calls"]} == {1, 2}
    assert {row[1] for row in left["call_steps"]} == {1, 2}


def test_a_customers_deletion_takes_what_was_handed_in_before(
    engine: Engine, write: Write, broker: Broker
) -> None:
    early, late, foreign = (
        some_job(broker.rng, customer, 2) for customer in ("acme", "acme", "globex")
    )
    seq = live(broker, early)
    live(broker, foreign)
    asked(broker, None)
    live(broker, late, seq)
    write(everything(broker))
    delete_all(engine, BEGIN_MS)
    assert {row[1] for row in rows_in(engine)["jobs"]} == {late.job_id, foreign.job_id}


def test_nobody_deletes_the_jobs_of_others(engine: Engine, write: Write, broker: Broker) -> None:
    job = some_job(broker.rng, "acme", 2)
    live(broker, job)
    asked(broker, job, customer="globex")
    write(everything(broker))
    delete_all(engine, BEGIN_MS)
    assert len(rows_in(engine)["jobs"]) == 1


def test_of_a_deleted_customer_only_the_command_is_left(
    engine: Engine, write: Write, broker: Broker
) -> None:
    live(broker, some_job(broker.rng, "acme", 3))
    live(broker, some_job(broker.rng, "globex", 3))
    (first, *_) = broker.log["jobs", partition_of(b"acme", PARTITIONS)]
    unreadable = replace(first, topic="processed", offset=10**6, value=b"{", key=b"acme")
    asked(broker, None)
    write([*everything(broker), unreadable])
    assert len(rows_in(engine)["dead_letters"]) == 1
    delete_all(engine, BEGIN_MS)
    left = rows_in(engine)
    assert {row[2] for row in left["jobs"]} == {"globex"}
    assert {row[0] for row in left["lanes"]} == {"globex"}
    assert {row[0] for row in left["calls"]} == {"globex"}
    assert left["dead_letters"] == []
    assert len(left["images"]) == 3
    (command,) = left["commands"]
    assert "acme" in command
    everywhere = {name: rows for name, rows in left.items() if "acme" in str(rows)}
    assert set(everywhere) == {"commands"}
