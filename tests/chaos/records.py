"""Faults of records: unreadable ones, foreign partitions, duplicates, and everything read again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from tests.chaos.system import System
from tests.chaos.trial import Fault, Trial

LOOK_SECONDS: Final = 0.2
READERS: Final = {
    "intake": ("urls", "missing"),
    "downloader": ("requested",),
    "processor": ("downloaded",),
    "batcher": ("processed", "jobs", "completed"),
    "dispatcher": ("batches", "callbacks"),
}
"""Who reads what, besides the batcher's own ticks."""
STRICT: Final = ("processed", "jobs", "completed", "batches", "callbacks")
NESTED: Final = 100_000
REPLAY_SECONDS: Final = 240.0
"""A stack that has tried thirty faults has some ten thousand images to read again."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A record as it lies in a topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def event(self) -> dict[str, Any]:
        """Its value, read."""
        event: dict[str, Any] = json.loads(self.value)
        return event


def copies(system: System, topic: str, customers: set[str]) -> list[Copy]:
    """All readable records of these customers that the topic holds now."""
    consumer = Consumer(
        {
            "bootstrap.servers": system.stack.kafka.bootstrap_servers,
            "group.id": "chaos-copies",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    numbers = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
    found, unread = [], set(numbers)
    while unread:
        for message in consumer.consume(10_000, LOOK_SECONDS):
            error, partition = message.error(), message.partition()
            assert partition is not None
            if error is not None:
                assert error.name() == "_PARTITION_EOF", error
                unread.discard(partition)
                continue
            held = dict(message.headers() or [])
            headers = tuple((name, _bytes(text)) for name, text in held.items())
            one = Copy(topic, partition, message.key(), message.value() or b"", headers)
            if _customer_of(one) in customers:
                found.append(one)
    consumer.close()
    return found


def _customer_of(copy: Copy) -> str:
    try:
        return str(copy.event.get("customer_id"))
    except (ValueError, RecursionError, AttributeError):  # poison, of any shape
        return ""


def _bytes(text: str | bytes | None) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


async def poison_everywhere(trial: Trial) -> None:
    """Every topic gets records that nobody can read, between good ones, which do not wait."""
    system = trial.system
    trial.load(customers=3, images=80)
    await trial.under_way(share=0.1)
    for topics in READERS.values():
        for topic in topics:
            for value in UNREADABLE:
                system.poison(topic, value)
    for customer in sorted(trial.customers):
        trial.submit(customer.removeprefix(f"{trial.name}-"), 40)
    trial.healed()
    await system.finished(trial.jobs)
    await all_put_aside(trial)


UNREADABLE: Final = (
    b"{",
    b"",
    b"\x00",
    b"\xff\xfe{}",
    b"[1, 2]",
    b"null",
    b'{"type": "no.such.event.v1", "customer_id": "acme"}',
    b'{"type": "image.processed.v9", "customer_id": "acme"}',
    b'{"type": "image.processed.v1", "customer_id": "acme"}',
    b'{"type": "image.requested.v1", "customer_id": 17}',
    b'{"type": "image.downloaded.v1", "customer_id": "acme", "seconds": NaN}',
    b'{"type": "job.sealed.v1", "customer_id": "acme", "images": 1e999}',
    b'{"type": "job.sealed.v1", "customer_id": "acme", "images": ' + b"9" * 5_000 + b"}",
    b"[" * NESTED,
    b'{"a":' * NESTED,
    b"x" * 900_000,
)


async def all_put_aside(trial: Trial) -> None:
    """Waits until each poisoned record is a dead letter. The checker looks at which ones, and whether whole."""
    system = trial.system
    due = sum(entry["kind"] == "poison" for entry in system.history.entries)

    def aside() -> int:
        return sum(one["topic"].startswith("dlq.") for one in system.onlooker.records)

    await system.until(f"{due} dead letters", lambda: aside() >= due, 30)


async def newer_and_older_producers(trial: Trial) -> None:
    """Fields that nobody knows yet are passed over; an event whose required fields are gone is put aside."""
    system = trial.system
    trial.load(customers=2, images=50)
    await trial.under_way(share=1.0)
    newer = copies(system, "processed", trial.customers)[:10]
    for one in newer:
        value = json.dumps(one.event | {"of_tomorrow": {"a": [1]}}).encode()
        system.produce(one.topic, value, key=one.key, partition=one.partition, headers=one.headers)
    for one in newer:
        lacking = {name: held for name, held in one.event.items() if name != "index"}
        place: dict[str, Any] = {"key": one.key, "partition": one.partition}
        system.poison(one.topic, json.dumps(lacking).encode(), **place, headers=one.headers)
    trial.healed()
    await system.finished(trial.jobs)
    await all_put_aside(trial)


async def wrong_keys(trial: Trial) -> None:
    """No value, no key, another customer's key: never another customer's outcome."""
    system = trial.system
    trial.load(customers=2, images=50)
    await trial.under_way(share=1.0)
    for topic in ("processed", "jobs", "batches"):
        one = copies(system, topic, trial.customers)[0]
        for key in (None, b"", b"somebody-else", b"\xff\x00"):
            system.poison(topic, one.value, key=key, partition=one.partition, headers=one.headers)
        system.poison(topic, None, key=one.key, partition=one.partition)
    trial.healed()
    await system.finished(trial.jobs)
    await all_put_aside(trial)


async def foreign_partitions(trial: Trial) -> None:
    """Another producer, with librdkafka's own partitioner, repeats the lanes' records where they do not belong."""
    system = trial.system
    trial.load(customers=6, images=60)
    await trial.under_way("completed", share=0.01)
    for topic in STRICT:
        for one in copies(system, topic, trial.customers)[:40]:
            wrong = (one.partition + 1 + trial.random.randrange(11)) % 12
            system.poison(topic, one.value, key=one.key, partition=wrong, headers=one.headers)
    trial.healed()
    await system.finished(trial.jobs)
    await all_put_aside(trial)


async def duplicates(trial: Trial) -> None:
    """Every record of every topic comes again, out of order, in the middle and after the end."""
    system = trial.system
    trial.load(customers=4, images=80)
    for _ in range(2):
        await trial.under_way(share=0.5)
        for topics in READERS.values():
            for topic in topics:
                again = copies(system, topic, trial.customers)
                trial.random.shuffle(again)
                for one in again:
                    system.produce(
                        topic,
                        one.value,
                        key=one.key,
                        partition=one.partition,
                        headers=one.headers,
                        wait=False,
                    )
        system.flush()
        await system.finished(trial.jobs)
    trial.healed()
    await asyncio.sleep(3)  # whatever the second round might set off
    last = trial.submit("last", 10)
    await system.finished([last])


async def replay(trial: Trial, services: tuple[str, ...]) -> None:
    """The groups' offsets are set back to the beginning: everything is read again, and nothing is sent again."""
    system = trial.system
    trial.load(customers=4, images=60)
    await system.finished(trial.jobs)
    old, posts = trial.customers, system.posts(trial.customers)
    names = [name for service in services for name in system.stack.names_of(service)]
    await system.stop(*names)
    for service in services:
        await asyncio.to_thread(set_back, system, service)
    system.note("offsets set back", services=services)
    system.start(*names)
    trial.submit("after", 60)
    trial.healed()
    await system.finished(trial.jobs)
    await asyncio.sleep(5)  # whatever the replay might still set off
    assert system.posts(old) == posts, "the replay has sent old images again"


def set_back(system: System, service: str) -> None:
    """Has a group read its topics from the beginning; nobody may be in it."""
    kafka = system.stack.kafka
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    known = admin.list_topics(timeout=30).topics
    topics = (*READERS[service], *(("ticks",) if service == "batcher" else ()))
    places = [
        TopicPartition(topic, number, 0) for topic in topics for number in known[topic].partitions
    ]
    group = kafka.group(service)
    request = ConsumerGroupTopicPartitions(group, places)
    result = admin.alter_consumer_group_offsets([request])[group].result(30)
    errors = [one.error for one in result.topic_partitions if one.error is not None]
    assert not errors, errors


FAULTS: Final = [
    Fault("F23", "unreadable records on every topic", poison_everywhere),
    Fault("F24", "fields unknown and fields missing", newer_and_older_producers),
    Fault("F25", "no value, no key, another customer's key", wrong_keys),
    *(
        Fault(
            f"F29:{name}",
            f"{says} reads all again",
            partial(replay, services=services),
            settle_seconds=REPLAY_SECONDS,
        )
        for name, says, services in (
            *((one, one, (one,)) for one in READERS),
            ("all", "every service", tuple(READERS)),
        )
    ),
    Fault("F30", "every record twice, out of order", duplicates),
    Fault("F33", "records on foreign partitions", foreign_partitions),
]
