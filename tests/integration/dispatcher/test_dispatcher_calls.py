"""The dispatcher on the real broker: requests in, calls made one at a time, answers out."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer
from msgspec import UNSET
from tests.integration.dead_letters import letters_of
from tests.integration.dispatcher.conftest import (
    JOB,
    OTHER_JOB,
    Batch,
    BatchServer,
    Rig,
    Rigs,
    headers_of,
    indexes,
    urls,
)
from tests.waiting import eventually

from imagelane.contracts.codec import encode
from imagelane.contracts.events import BatchRequested
from imagelane.contracts.image_sets import pack
from imagelane.contracts.parts import ReadyImages
from imagelane.platform.lifecycle import WRONG_TOPICS

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.mark.parametrize("group_protocol", ["consumer", "classic"])
async def test_every_customer_gets_its_calls_one_at_a_time(
    rigs: Rigs, api: BatchServer, group_protocol: str
) -> None:
    rig = rigs(group_protocol)
    rig.start()
    api.bad_urls = frozenset(urls([7]))
    customers = rig.customers(8)
    await asyncio.gather(*(rig.work(customer, calls=3) for customer in customers))
    assert api.overlaps() == []
    for customer in customers:
        assert api.urls_of(customer) == urls(range(5, 20))
        first, *others = sorted(rig.told.calls(customer), key=lambda call: call.seq)
        assert (first.status, [call.status for call in others]) == ("partial", ["completed"] * 2)
        (outcome,) = first.jobs
        assert (indexes(outcome.delivered), indexes(outcome.failed)) == ([5, 6, 8, 9], [7])


async def test_a_webhooks_hint_makes_polls_unnecessary(rig: Rig, api: BatchServer) -> None:
    api.seconds = 2.0
    api.on_finish = rig.hint
    rig.start(poll_min_seconds=60, poll_max_seconds=60)
    rig.request("acme", 1, range(3))
    await rig.resolved("acme", 1)
    (batch,) = api.journal
    assert batch.finished_at is not None
    assert time.monotonic() - batch.finished_at < 30
    assert api.looks == 1
    api.on_finish = lambda _batch: rig.hint(Batch("b-9", "acme", "forged", [], 0.0))
    rig.request("acme", 2, [3])
    await eventually(lambda: len(api.journal) == 2 and api.journal[1].finished_at)
    await asyncio.sleep(1)
    assert api.looks == 1  # a forged hint has not even caused a look


async def test_a_repeated_or_wrong_request_is_answered_with_the_truth(
    rig: Rig, api: BatchServer
) -> None:
    rig.start()
    rig.request("acme", 1, range(3))
    first = await rig.resolved("acme", 1)
    rig.request("acme", 1, range(3))
    await eventually(lambda: rig.told.closings("acme"))
    assert rig.told.calls("acme") == [first, first]
    rig.request("acme", 7, range(9))
    rig.request("acme", 2, range(3))  # nothing left to send
    await eventually(lambda: len(rig.told.closings("acme")) == 3)
    closings = [(told.answers, told.last_seq, told.busy) for told in rig.told.closings("acme")]
    assert closings == [(1, 1, False), (7, 1, False), (2, 1, False)]
    truths = [told.job for told in rig.told.truths("acme") if told.job is not UNSET]
    assert [indexes(job.delivered) for job in truths] == [[0, 1, 2]] * 3
    assert len(api.journal) == 1


async def test_settled_images_are_recorded_and_never_sent(rig: Rig, api: BatchServer) -> None:
    rig.start()
    rig.settle("acme", failed=[1, 2])
    await eventually(lambda: rig.told.truths("acme"))
    rig.request("acme", 1, range(4))
    await eventually(lambda: api.journal)
    rig.settle("acme", failed=[3, 4])  # 3 is in the call by now
    await rig.resolved("acme", 1)
    first, second = rig.told.truths("acme")
    assert first.job
    assert second.job
    assert (indexes(first.job.failed), indexes(second.job.failed)) == ([1, 2], [1, 2, 4])
    assert (first.last_seq, first.busy, second.last_seq, second.busy) == (0, False, 1, True)
    assert api.urls_of("acme") == urls([0, 3])


async def test_unreadable_records_are_set_aside_and_the_lane_goes_on(
    rig: Rig, api: BatchServer
) -> None:
    rig.start()
    producer = Producer({"bootstrap.servers": rig.kafka.bootstrap_servers})
    topic = rig.kafka.topic("batches")
    ready = ReadyImages(job_id=JOB, recipe="pie", destination="default", images=pack([1]))
    good = BatchRequested(customer_id="acme", seq=1, jobs=[ready], occurred_at=datetime.now(UTC))
    home = rig.partition("acme")
    for key, value, partition in (
        (b"acme", b"\xff not json", home),
        (b"acme", None, home),
        (b"acme", encode(good), (home + 1) % 4),  # misplaced
        (b"acme", encode(good), home),  # an unknown recipe
        (None, encode(good), home),
    ):
        producer.produce(topic, key=key, value=value, partition=partition)
    producer.flush(10)
    rig.request("acme", 1, [1])
    await rig.resolved("acme", 1)
    letters = await asyncio.to_thread(letters_of, rig.kafka, "batches", count=5)
    reasons = [headers_of(one)["__dlq.errors.message"] for one in letters]
    assert len(reasons) == 5
    assert [words for words in reasons if "misplaced" in words]
    assert "there is no recipe 'pie'" in reasons
    assert "the record has no key" in reasons
    assert len(api.journal) == 1


async def test_after_a_clean_stop_the_next_worker_tells_again_and_goes_on(
    rig: Rig, api: BatchServer
) -> None:
    first = rig.start()
    rig.request("idle", 1, range(3))
    done = await rig.resolved("idle", 1)
    api.seconds = 4.0
    rig.request("active", 1, range(3), OTHER_JOB)
    await eventually(lambda: api.of("active"))
    first.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(first.wait, 15) == 0
    rig.start("two")
    await rig.resolved("active", 1)
    await eventually(lambda: rig.told.calls("idle") == [done, done])
    assert [len(api.of(customer)) for customer in ("idle", "active")] == [1, 1]


async def test_with_another_number_of_partitions_nothing_is_sent(
    rig: Rig, api: BatchServer
) -> None:
    rig.environment = {"KAFKA__STRICT_PARTITIONS": "6"}
    process = rig.start()
    rig.request("acme", 1, range(3))
    assert await asyncio.to_thread(process.wait, 60) == WRONG_TOPICS
    assert "IMAGELANE_KAFKA__STRICT_PARTITIONS says 6" in rig.log_of(process)
    assert api.posts == []


async def test_an_api_that_is_away_is_tried_again(rig: Rig, api: BatchServer) -> None:
    away = BatchServer(url="http://127.0.0.1:1/v1")
    rig.api, real = away, rig.api
    process = rig.start()
    rig.request("acme", 1, range(3))
    await eventually(lambda: rig.log_of(process).count('"lane.submitting"') >= 2)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 15) == 0
    rig.api = real
    rig.start()
    assert (await rig.resolved("acme", 1)).status == "completed"
    assert len(api.posts) == 1  # it was never in doubt, so it was not even searched for
