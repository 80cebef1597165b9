"""Many jobs come and go: what is kept of them, in the log and at a start, stays small."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.integration.configuring import configure_topic
from tests.integration.dispatcher.conftest import BatchServer, Rig, urls
from tests.waiting import eventually

from imagelane.contracts.topics import CALLS
from imagelane.dispatcher.restoring import restore
from imagelane.platform.latest_records import read_records
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = 2
JOBS_PER_ROUND = 400
RETENTION_SECONDS = 2.0
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def job_id(number: int) -> str:
    digits = [LETTERS[number // 32**place % 32] for place in range(4)]
    return "".join(digits) + "a" * 28


def compact_quickly(kafka: KafkaSettings) -> None:
    wanted = {
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.0",
        "delete.retention.ms": "0",
        "max.compaction.lag.ms": "1000",
    }
    configure_topic(kafka, CALLS, wanted)


def records(kafka: KafkaSettings) -> int:
    """How many records lie in the log, whatever they say."""
    return sum(1 for _ in read_records(kafka, CALLS))


def remembered(kafka: KafkaSettings) -> int:
    books = restore(kafka, range(kafka.strict_partitions), lambda: True)
    return sum(len(book.jobs) for book in books.values())


async def settle_jobs(rig: Rig, numbers: range) -> None:
    """Jobs with an outcome each, all of them in the log when it returns."""
    customers = rig.customers(8)
    for number in numbers:
        customer = customers[number % len(customers)]
        rig.settle(customer, failed=range(1 + number % 50), job=job_id(number))
    await eventually(lambda: sum(len(rig.told.truths(one)) for one in customers) >= numbers.stop)


async def compacted(rig: Rig) -> int:
    """How many records are left when the broker has compacted the log, or after 20 tries."""
    left = records(rig.kafka)
    for _ in range(20):
        if left < JOBS_PER_ROUND / 4:
            break
        for customer in rig.customers(8):  # compaction leaves alone the segment that is written to
            rig.settle(customer, failed=[1])
        await asyncio.sleep(3)
        left = records(rig.kafka)
    return left


async def test_finished_jobs_are_forgotten_in_the_log_in_memory_and_at_a_start(
    rig: Rig, api: BatchServer
) -> None:
    compact_quickly(rig.kafka)
    days = RETENTION_SECONDS / 86_400
    first = rig.start(retention_days=days)
    for number in range(ROUNDS):
        await settle_jobs(rig, range(number * JOBS_PER_ROUND, (number + 1) * JOBS_PER_ROUND))
        rig.request("caller", number + 1, range(number * 3, number * 3 + 3))
        await rig.resolved("caller", number + 1)
        await eventually(lambda: remembered(rig.kafka) <= 1, within_seconds=60)
    assert api.urls_of("caller") == urls(range(ROUNDS * 3))
    assert await compacted(rig) < JOBS_PER_ROUND / 4
    first.terminate()
    assert await asyncio.to_thread(first.wait, 20) == 0
    second = rig.start(retention_days=days)
    await eventually(lambda: "log.restored" in rig.log_of(second))
    lines = map(json.loads, rig.log_of(second).splitlines())
    (restored,) = [one for one in lines if one["event"] == "log.restored"]
    assert restored["jobs"] <= 2
    rig.request("caller", ROUNDS + 1, range(100, 103))  # a lane never loses count
    await rig.resolved("caller", ROUNDS + 1)
