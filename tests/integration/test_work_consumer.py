from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    ConfigResource,
    ResourceType,
)

from imagelane.core.partitioning import partition_of
from imagelane.platform.groups import KafkaStartError, client_properties, configure_group
from imagelane.platform.lag import LagReader
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.work import RecordStalledError, WorkConsumer, WorkItem, WorkLimits

pytestmark = pytest.mark.kafka

SERVICE = "downloader"
TOPIC = "requested"
Place = tuple[int, int]


PROTOCOLS = ("consumer", "classic")
SHORT_SESSION = {"session_timeout_seconds": 6.0}


@pytest.fixture(params=PROTOCOLS)
def deployment(request: pytest.FixtureRequest, kafka: KafkaSettings) -> KafkaSettings:
    """The fresh topics, under each group protocol, with the shortest session."""
    return kafka.model_copy(update={**SHORT_SESSION, "group_protocol": request.param})


def produce(
    kafka: KafkaSettings,
    keys: Iterable[str | None],
    *,
    topic: str = TOPIC,
    partition: int = -1,
) -> set[Place]:
    """One record per key; the places they got."""
    places: set[Place] = set()
    producer = Producer({"partitioner": "murmur2_random", **client_properties(kafka)})
    for number, key in enumerate(keys):
        producer.produce(
            kafka.topic(topic),
            key=key,
            value=f"record {number}",
            partition=partition,
            headers=[("number", str(number).encode())],
            on_delivery=lambda _error, sent: places.add(
                (sent.partition() or 0, sent.offset() or 0)
            ),
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    return places


@asynccontextmanager
async def consuming(
    kafka: KafkaSettings,
    *,
    service: str = SERVICE,
    topics: tuple[str, ...] = (TOPIC,),
    limits: WorkLimits | None = None,
) -> AsyncIterator[WorkConsumer]:
    consumer = WorkConsumer(kafka, service=service, topics=topics, limits=limits)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def take(consumer: WorkConsumer, count: int) -> list[WorkItem]:
    async with asyncio.timeout(30):
        return [await consumer.take() for _ in range(count)]


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.02)


def place(item: WorkItem) -> Place:
    return item.record.partition, item.record.offset


class Crew:
    """Works like a service: many records in flight, done in another order than they came."""

    def __init__(self) -> None:
        self.seen: Counter[Place] = Counter()
        self.by: Counter[str] = Counter()

    async def work(self, name: str, consumer: WorkConsumer, lanes: int = 20) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane(name, consumer))

    async def _lane(self, name: str, consumer: WorkConsumer) -> None:
        while True:
            item = await consumer.take()
            await asyncio.sleep(0.002 * (item.record.offset % 7))
            self.seen[place(item)] += 1
            self.by[name] += 1
            consumer.done(item)


async def test_a_record_comes_as_it_was_sent(kafka: KafkaSettings) -> None:
    produce(kafka, ["客户-1"])
    async with consuming(kafka) as consumer:
        (item,) = await take(consumer, 1)
    record = item.record
    assert (record.topic, record.key, record.value) == (TOPIC, "客户-1".encode(), b"record 0")
    assert record.headers == [("number", b"0")]
    assert record.offset == 0
    assert record.timestamp_ms > 1_700_000_000_000
    assert item.note is None


async def test_finished_records_above_the_commit_are_skipped_after_a_restart(
    deployment: KafkaSettings,
) -> None:
    produce(deployment, ["one"] * 40)
    async with consuming(deployment) as consumer:
        for item in await take(consumer, 40):
            if item.record.offset % 3:
                consumer.done(item)
    lag = LagReader(deployment)
    home = partition_of(b"one", deployment.spread_partitions)
    assert await lag.committed(SERVICE, TOPIC) == {home: 0}
    assert sum((await lag.unread(SERVICE, TOPIC)).values()) == 14

    async with consuming(deployment) as consumer:
        again = await take(consumer, 14)
        assert [item.record.offset for item in again] == list(range(0, 40, 3))
        for item in again:
            consumer.done(item)
    assert await lag.committed(SERVICE, TOPIC) == {home: 40}


async def test_commits_come_every_second_without_a_stop(deployment: KafkaSettings) -> None:
    produce(deployment, ["one"] * 10)
    lag = LagReader(deployment)

    async def committed(offset: int) -> bool:
        return list((await lag.committed(SERVICE, TOPIC)).values()) == [offset]

    async with consuming(deployment) as consumer:
        items = await take(consumer, 10)
        for item in items[:4]:
            consumer.done(item)
        await until(lambda: committed(4))
        for item in reversed(items[4:]):
            consumer.done(item)
        await until(lambda: committed(10))


async def test_notes_come_back_with_their_records(deployment: KafkaSettings) -> None:
    produce(deployment, ["one"] * 3)
    async with consuming(deployment) as consumer:
        first, second, _ = await take(consumer, 3)
        consumer.note(first, "line 200")
        consumer.note(second, "line 7")
        consumer.note(first, "line 500")
        consumer.done(second)
    async with consuming(deployment) as consumer:
        again = await take(consumer, 2)
    assert [(item.record.offset, item.note) for item in again] == [(0, "line 500"), (2, None)]


async def test_members_coming_and_going_lose_nothing(deployment: KafkaSettings) -> None:
    sent: set[Place] = set()
    crew = Crew()

    async def has_work(name: str) -> bool:
        """More records come until this member has had its share."""
        if len(sent) < len(crew.seen) + 500:
            sent.update(produce(deployment, [f"customer-{number}" for number in range(1_000)]))
        return crew.by[name] > 300

    async with consuming(deployment) as first:
        tasks = [asyncio.create_task(crew.work("first", first))]
        await until(lambda: has_work("first"))
        async with consuming(deployment) as second:
            tasks.append(asyncio.create_task(crew.work("second", second)))
            await until(lambda: has_work("second"))
            await first.stop()
            async with consuming(deployment) as third:
                tasks.append(asyncio.create_task(crew.work("third", third)))
                await until(lambda: has_work("third"))
                await until(lambda: crew.seen.keys() == sent)
                for task in tasks:
                    task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    repeated = crew.seen.total() - len(sent)
    assert repeated < 400, f"{repeated} of {len(sent)} repeated"
    assert sum((await LagReader(deployment).unread(SERVICE, TOPIC)).values()) == 0


async def test_a_record_in_work_goes_to_the_member_that_gets_its_partition(
    deployment: KafkaSettings,
) -> None:
    sent = produce(deployment, [f"customer-{number}" for number in range(40)])
    async with consuming(deployment) as first:
        held = await take(first, len(sent))
        async with consuming(deployment) as second:
            await until(lambda: any(item.revoked for item in held))
            lost = {place(item) for item in held if item.revoked}
            for item in held:
                first.done(item)
            again = await take(second, len(lost))
            assert {place(item) for item in again} == lost
            for item in again:
                second.done(item)
    assert sum((await LagReader(deployment).unread(SERVICE, TOPIC)).values()) == 0


WORKER = """
import asyncio, sys
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.work import WorkConsumer

async def main(settings, service, topic, journal):
    consumer = WorkConsumer(
        KafkaSettings.model_validate_json(settings), service=service, topics=[topic]
    )
    await consumer.start()
    async def lane():
        while True:
            item = await consumer.take()
            await asyncio.sleep(0.004 * (1 + item.record.offset % 7))
            print(item.record.partition, item.record.offset, file=out, flush=True)
            consumer.done(item)
    with open(journal, "a") as out:
        await asyncio.gather(*(lane() for _ in range(20)))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_process_loses_nothing(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Both protocols at once, as two services: most of the time is the dead members' session."""
    sent = produce(kafka, [f"customer-{number % 50}" for number in range(6_000)])
    async with asyncio.TaskGroup() as group:
        for protocol in PROTOCOLS:
            journal = tmp_path / protocol
            journal.touch()
            deployment = kafka.model_copy(update={**SHORT_SESSION, "group_protocol": protocol})
            group.create_task(killed_and_followed(deployment, sent, journal))


def places_in(journal: Path) -> set[Place]:
    lines = journal.read_text().splitlines()
    return {(int(partition), int(offset)) for partition, offset in map(str.split, lines)}


async def killed_and_followed(kafka: KafkaSettings, sent: set[Place], journal: Path) -> None:
    service = journal.name
    arguments = [kafka.model_dump_json(), service, TOPIC, str(journal)]
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, *arguments)
    try:
        await until(lambda: len(places_in(journal)) > 3_000)
    finally:
        worker.kill()
        await worker.wait()
    before = places_in(journal)
    crew = Crew()
    async with consuming(kafka, service=service) as consumer:
        working = asyncio.create_task(crew.work("heir", consumer))
        await until(lambda: crew.seen.keys() | before == sent)
        working.cancel()
    repeated = crew.seen.keys() & before
    assert len(repeated) < len(before) / 2


async def test_a_small_customer_behind_a_big_one_is_served_at_every_other_take(
    kafka: KafkaSettings,
) -> None:
    produce(kafka, ["big"] * 5_000 + ["small"] * 20, partition=0)
    async with consuming(kafka) as consumer:
        await until(lambda: consumer.read_ahead == 5_020)
        keys = [item.record.key for item in await take(consumer, 40)]
    assert keys.count(b"small") == 20


async def test_a_full_consumer_stays_within_its_limits_and_forgets_nothing(
    deployment: KafkaSettings,
) -> None:
    sent = produce(deployment, [f"customer-{number % 9}" for number in range(2_000)])
    limits = WorkLimits(max_records=100)
    async with consuming(deployment, limits=limits) as consumer:
        await until(lambda: consumer._running._paused)
        assert 100 <= consumer.read_ahead <= 120
        async with consuming(deployment, limits=limits) as second:
            await until(lambda: second.read_ahead >= 100)
        crew = Crew()
        working = asyncio.create_task(crew.work("one", consumer))
        await until(lambda: crew.seen.keys() == sent)
        working.cancel()


async def test_a_consumer_full_of_bytes_reads_no_further(kafka: KafkaSettings) -> None:
    produce(kafka, ["one"] * 3_000)
    async with consuming(kafka, limits=WorkLimits(max_bytes=50_000)) as consumer:
        await until(lambda: consumer._running._paused)
        assert consumer.read_ahead <= 600  # one batch, and what trickled in


async def test_an_unfinished_record_bounds_how_far_its_partition_is_read(
    kafka: KafkaSettings,
) -> None:
    produce(kafka, ["one"] * 2_000)
    async with consuming(kafka, limits=WorkLimits(max_span=200)) as consumer:
        held = await consumer.take()
        crew = Crew()
        working = asyncio.create_task(crew.work("one", consumer))
        await until(lambda: consumer._running._paused)
        assert len(crew.seen) < 1_000  # a batch of 500, and what trickled in
        consumer.done(held)
        await until(lambda: len(crew.seen) == 1_999)
        working.cancel()


async def test_strict_topics_tell_what_is_misplaced(kafka: KafkaSettings) -> None:
    home = partition_of(b"acme", kafka.strict_partitions)
    away = (home + 1) % kafka.strict_partitions
    for topic in ("missing", "urls", TOPIC):
        produce(kafka, ["acme"], topic=topic, partition=home)
        produce(kafka, ["acme"], topic=topic, partition=away)
        produce(kafka, [None], topic=topic, partition=home)
    async with consuming(kafka, topics=("missing", "urls", TOPIC)) as consumer:
        items = await take(consumer, 9)
    misplaced = {
        (item.record.topic, item.record.partition, item.record.key)
        for item in items
        if item.misplaced
    }
    assert misplaced == {("missing", away, b"acme"), ("missing", home, None)}


async def test_a_record_that_hangs_fails_the_consumer(kafka: KafkaSettings) -> None:
    produce(kafka, ["one"] * 2)
    limits = WorkLimits(max_record_seconds=1.0)
    async with consuming(kafka, limits=limits) as consumer:
        alive, hanging = await take(consumer, 2)
        deadline = asyncio.get_running_loop().time() + 10
        while not consumer.failed.done():
            assert asyncio.get_running_loop().time() < deadline
            consumer.note(alive, "still at it")
            await asyncio.sleep(0.1)
        with pytest.raises(RecordStalledError, match=rf"{TOPIC}\[\d\]@{hanging.record.offset} "):
            await consumer.failed


async def test_a_record_is_done_once(kafka: KafkaSettings) -> None:
    produce(kafka, ["one"])
    async with consuming(kafka) as consumer:
        (item,) = await take(consumer, 1)
        consumer.done(item)
        with pytest.raises(ValueError, match="not in work"):
            consumer.done(item)


async def test_nothing_is_handed_out_once_stopping(kafka: KafkaSettings) -> None:
    produce(kafka, ["one"] * 10)
    async with consuming(kafka) as consumer:
        await until(lambda: consumer.read_ahead == 10)
        await consumer.stop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consumer.take(), 0.1)


async def test_a_missing_topic_is_named_at_the_start(kafka: KafkaSettings) -> None:
    consumer = WorkConsumer(kafka, service=SERVICE, topics=[TOPIC, "no-such"])
    with pytest.raises(KafkaStartError, match=f"{kafka.topic_prefix}no-such.*topics apply"):
        await consumer.start()


def test_the_groups_timing_is_set_on_the_broker(kafka: KafkaSettings) -> None:
    for session_seconds in (7.0, 20.0, 8.0):
        configure_group(
            kafka.model_copy(update={"session_timeout_seconds": session_seconds}), SERVICE
        )
        admin = AdminClient(client_properties(kafka))
        group = ConfigResource(ResourceType.GROUP, kafka.group(SERVICE))
        configs = admin.describe_configs([group])[group].result()
        assert configs["consumer.session.timeout.ms"].value == f"{session_seconds * 1_000:.0f}"
        assert configs["consumer.heartbeat.interval.ms"].value == f"{session_seconds * 100:.0f}"
        assert configs["consumer.assignment.interval.ms"].value == "0"
