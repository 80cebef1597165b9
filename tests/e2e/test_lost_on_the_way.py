"""Whatever is dropped, skipped, truncated or read again: the job finishes, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    OffsetSpec,
)
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, Job, Road

from imagelane.contracts import topics
from imagelane.contracts.commands import DeleteCustomer, DeleteJob
from imagelane.contracts.events import Event
from imagelane.core.partitioning import partition_of
from imagelane.core.recipes import list_key, originals_folder
from imagelane.platform.producer import EventProducer

pytestmark = ON_THE_ROAD

IMAGES = 60
CHANGELOG = "imagelane-batcher-lanes-changelog"
BATCHER_INPUTS = (
    topics.PROCESSED,
    topics.JOBS,
    topics.COMPLETED,
    topics.COMMANDS,
    topics.TICKS,
)
END = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client's own lack


@pytest.mark.parametrize(
    ("topic", "reader"), [(topics.PROCESSED, "batcher"), (topics.DOWNLOADED, "processor")]
)
async def test_a_deleted_segment_of_a_topic_is_made_good(
    swept: Road, images: Images, topic: str, reader: str
) -> None:
    await swept.stack.supervisor.stop(reader)
    job = await swept.submit(f"segment-{topic}", urls=images.urls(IMAGES))
    await swept.until("all before the gap", lambda: len(swept.seen(topic, job)) == IMAGES)
    await asyncio.to_thread(delete_records, swept, topic, job, 20)
    swept.start(reader)
    await swept.finished(job)
    assert len(prove(swept, job)[job].ok) == IMAGES
    missing = sum(one.images.count for one in swept.seen(topics.MISSING, job))
    assert missing >= IMAGES - 20


async def test_a_job_of_which_the_batcher_never_heard_a_word_ends_all_the_same(
    swept: Road, images: Images
) -> None:
    await swept.stack.supervisor.stop("batcher")
    job = await swept.submit("unheard", urls=images.urls(IMAGES))
    await swept.until("all images", lambda: len(swept.seen(topics.PROCESSED, job)) == IMAGES)
    await swept.until("its seal", lambda: len(swept.seen(topics.JOBS, job)) >= 2)
    await asyncio.to_thread(skip_all, swept, "batcher", (topics.PROCESSED, topics.JOBS), job)
    swept.start("batcher")
    await swept.finished(job)
    assert len(prove(swept, job)[job].ok) == IMAGES


async def test_an_answer_that_was_skipped_is_asked_for_again(swept: Road, images: Images) -> None:
    job = await swept.submit("unanswered", urls=images.urls(IMAGES))
    await swept.until("a call", lambda: any(one.ended is None for one in swept.calls(job.customer)))
    await swept.stack.supervisor.stop("batcher")
    await swept.until("its answer", lambda: swept.seen(topics.COMPLETED, job))
    await asyncio.to_thread(skip_all, swept, "batcher", (topics.COMPLETED,), job)
    swept.start("batcher")
    await swept.finished(job)
    assert len(prove(swept, job)[job].ok) == IMAGES


async def test_a_batcher_that_lost_its_whole_table_catches_up(swept: Road, images: Images) -> None:
    done = await swept.submit("forgetful", key="done", urls=images.urls(IMAGES))
    await swept.finished(done)
    job = await swept.submit("forgetful", key="half", urls=images.urls(300, slow=True))
    await swept.until("the middle", lambda: len(swept.seen(topics.PROCESSED, job)) > IMAGES + 100)
    await swept.stack.supervisor.stop("batcher")
    await asyncio.to_thread(empty_the_changelog, swept)
    starts = swept.stack.supervisor.starts["batcher"]
    swept.start("batcher")
    await swept.finished(job)
    # It has noticed, set its inputs back and left with a code of its own.
    assert swept.stack.supervisor.starts["batcher"] == starts + 2
    assert any(one.startswith("batcher ended with 75") for one in swept.endings)
    assert [len(one.ok) for one in prove(swept, done, job).values()] == [IMAGES, 300]


async def test_everything_read_again_leads_to_no_call_and_no_second_end(
    swept: Road, images: Images
) -> None:
    job = await swept.submit("again", key="first", urls=images.urls(IMAGES))
    await swept.finished(job)
    await swept.records.look_to_end()
    ends = Counter(one.ce_id for one in swept.records.all_of(topics.FINISHED))
    requested = len(swept.seen(topics.REQUESTED, job))
    inputs = {
        "batcher": BATCHER_INPUTS,
        "intake": (topics.URLS,),
        "intake-orders": (topics.MISSING, topics.COMMANDS, topics.FINISHED),
    }
    before = {customer: len(swept.calls(customer)) for customer in customers(swept)}
    for service in ("batcher", "intake"):
        await swept.stack.supervisor.stop(service)
    for group, names in inputs.items():
        await asyncio.to_thread(read_again, swept, group, names)
    for service in ("batcher", "intake"):
        swept.start(service)
    last = await swept.submit("again", key="last", urls=images.urls(IMAGES))
    await swept.finished(last)

    after = {customer: len(swept.calls(customer)) for customer in customers(swept)}
    assert after == before | {"again": after["again"]}
    told = Counter(one.ce_id for one in swept.records.all_of(topics.FINISHED))
    assert len(told) == len(ends) + 1
    old = [one for one in swept.seen(topics.REQUESTED, job) if one.job_id == swept.id_of(job)]
    assert len(old) == requested
    assert [len(one.ok) for one in prove(swept, job, last).values()] == [IMAGES, IMAGES]


async def test_a_batcher_that_knows_nothing_learns_from_the_dispatchers_answers(
    swept: Road, images: Images
) -> None:
    first = await swept.submit("history", key="first", urls=images.urls(IMAGES))
    await swept.finished(first)
    await swept.stack.supervisor.stop("batcher")
    await asyncio.to_thread(empty_the_changelog, swept)
    for topic in BATCHER_INPUTS:
        await asyncio.to_thread(delete_records, swept, topic, None, 0)
    swept.start("batcher")
    second = await swept.submit("history", key="second", urls=images.urls(IMAGES))
    await swept.finished(second)
    assert [len(one.ok) for one in prove(swept, first, second).values()] == [IMAGES, IMAGES]


async def test_a_deleted_job_ends_with_its_running_call_and_leaves_nothing_behind(
    swept: Road, images: Images
) -> None:
    """Another job of the customer goes on, until the customer is deleted."""
    job = await swept.submit("deleted", key="gone", urls=images.urls(400, slow=True))
    kept = await swept.submit("deleted", key="kept", urls=images.urls(IMAGES))
    await swept.until("a call", lambda: any(one.ended is None for one in swept.calls("deleted")))
    job_id = swept.id_of(job)
    assert job_id is not None
    now = datetime.now(UTC)
    await command(
        swept,
        DeleteJob(customer_id="deleted", job_id=job_id, decided_by="e2e", occurred_at=now),
    )
    await swept.finished(job, kept)
    finish = swept.finish_of(job)
    assert finish is not None
    assert (finish.images, finish.cut_short_by) == (400, "delete")
    assert finish.cancelled > 0
    assert finish.delivered + finish.failed + finish.cancelled == 400
    in_calls = [url for call in swept.calls("deleted") for url in call.urls if job_id in url]
    assert len(in_calls) == len(set(in_calls)) == finish.delivered
    await swept.until("nothing is left", lambda: not left_of(swept, job))
    assert len(list((swept.stack.results / str(swept.id_of(kept))).iterdir())) == IMAGES

    now = datetime.now(UTC)
    await command(swept, DeleteCustomer(customer_id="deleted", decided_by="e2e", occurred_at=now))
    await swept.until("nothing is left of either", lambda: not left_of(swept, kept))


def left_of(road: Road, job: Job) -> list[str]:
    """What the stores hold of a job, but for the mark that its key is used up."""
    job_id = str(road.id_of(job))
    private = road.stack.results.parent / "private"
    key = private / list_key(job.customer, job_id)
    places = [
        road.stack.results / job_id,
        private / originals_folder(job_id),
        key,
        key.with_name(f"{key.name}.deleted"),
    ]
    return [str(place) for place in places if place.exists()]


def customers(road: Road) -> set[str]:
    return {one.event.customer_id for one in road.records.all_of(topics.JOBS)}


async def command(road: Road, event: Event) -> None:
    producer = EventProducer(road.stack.kafka, source="/tests")
    await producer.send(event)
    await producer.close()


def admin_of(road: Road) -> AdminClient:
    return AdminClient({"bootstrap.servers": road.stack.kafka.bootstrap_servers, "log_level": 0})


def places_of(road: Road, topic: str, job: Job | None) -> list[TopicPartition]:
    """The customer's partition of the topic, or all of them."""
    partitions = road.stack.kafka.strict_partitions
    numbers = (
        range(partitions) if job is None else [partition_of(job.customer.encode(), partitions)]
    )
    return [TopicPartition(road.stack.kafka.topic(topic), number) for number in numbers]


def ends_of(road: Road, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    admin = admin_of(road)  # without it nobody would answer
    answers = admin.list_offsets(dict.fromkeys(places, END))
    return {place: answer.result(30).offset for place, answer in answers.items()}


def delete_records(road: Road, topic: str, job: Job | None, but_the_last: int) -> None:
    """As when retention, or a broken disk, takes the beginning of a partition."""
    ends = ends_of(road, places_of(road, topic, job))
    wanted = [
        TopicPartition(place.topic, place.partition, max(end - but_the_last, 0))
        for place, end in ends.items()
    ]
    admin = admin_of(road)
    for answer in admin.delete_records(wanted).values():
        answer.result(30)


def commit(road: Road, service: str, places: list[TopicPartition]) -> None:
    """Moves a group that has no members, as a careless operator might."""
    kafka = road.stack.kafka
    group = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": kafka.group(service),
            "enable.auto.commit": False,
        }
    )
    group.commit(offsets=places, asynchronous=False)
    group.close()


def skip_all(road: Road, service: str, names: Iterable[str], job: Job) -> None:
    """Everything of the customer's that waits on these topics is never read."""
    places = [place for name in names for place in places_of(road, name, job)]
    ends = ends_of(road, places)
    commit(
        road,
        service,
        [TopicPartition(place.topic, place.partition, end) for place, end in ends.items()],
    )


def read_again(road: Road, service: str, names: Iterable[str]) -> None:
    """Sets a group back to the beginning of these topics."""
    places = [place for name in names for place in places_of(road, name, None)]
    commit(road, service, [TopicPartition(one.topic, one.partition, 0) for one in places])


def empty_the_changelog(road: Road) -> None:
    """Nothing of the table is left, as if all of its topic had been truncated."""
    kafka = road.stack.kafka
    reader = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "nobody"})
    places = places_of(road, CHANGELOG, None)
    ends = ends_of(road, places)
    reader.assign([TopicPartition(one.topic, one.partition, 0) for one in places])
    keys: set[tuple[int, bytes]] = set()
    at: dict[int, int] = {}
    while any(at.get(place.partition, 0) < end for place, end in ends.items()):
        for message in reader.consume(10_000, 1.0):
            partition, key, offset = message.partition(), message.key(), message.offset()
            assert partition is not None
            assert offset is not None
            assert key is not None
            keys.add((partition, key))
            at[partition] = offset + 1
    reader.close()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for partition, key in keys:
        producer.produce(kafka.topic(CHANGELOG), key=key, value=None, partition=partition)
    assert producer.flush(30) == 0
