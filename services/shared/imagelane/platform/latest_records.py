"""Reading a compacted topic as what it is: the newest record of each key."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final, cast

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    OffsetSpec,
)

from imagelane.platform.broker_topics import ANSWER_SECONDS
from imagelane.platform.groups import (
    GUARANTEES,
    admin_client,
    awaits_leader,
    client_properties,
    passes,
)
from imagelane.platform.settings import KafkaSettings

READ_RECORDS: Final = 10_000
READ_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 60.0
LEADER_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 0.1
START: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call] # the same as below
END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client has no type for it

Place = tuple[int, bytes]
"""A partition, and a key on it."""


class ReadingTooLongError(Exception):
    """The topic's end was not reached: a transaction stays open, or the broker does not answer."""


def read_records(
    settings: KafkaSettings,
    topic: str,
    starts: Mapping[int, int] | None = None,
    admin: AdminClient | None = None,
) -> Iterator[Message]:
    """Every record of the topic (named without prefix) from its beginning to its present end.

    With `starts`, from there on instead, and only of those partitions. Of each partition in its
    order, committed ones only. `admin` may be a client that is connected already. Raises
    `KafkaException`, and `ReadingTooLongError` when for a minute nothing has come.
    """
    name = settings.topic(topic)
    admin = admin or admin_client(settings)
    if starts is None:
        starts = start_offsets(admin, settings, topic)
    ends = end_offsets(admin, settings, topic)
    consumer = reader(settings)
    try:
        # By number: for "the beginning" a new client takes half a second, and where nothing is left
        # of the log it never comes to an end.
        behind = [
            TopicPartition(name, at, start) for at, start in starts.items() if start < ends[at]
        ]
        consumer.assign(behind)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while behind:
            read = consumer.consume(READ_RECORDS, READ_SECONDS)
            yield from readable(read)
            if read:
                deadline = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                raise ReadingTooLongError(f"{name}: its end was not reached; try again later")
            behind = [one for one in consumer.position(behind) if one.offset < ends[one.partition]]
    finally:
        consumer.close()


def latest_records(
    settings: KafkaSettings,
    topic: str,
    *,
    partition: int | None = None,
    admin: AdminClient | None = None,
) -> dict[Place, bytes]:
    """The newest value of each key that has one; of all partitions, or of one.

    Raises as `read_records` does.
    """
    starts: dict[int, int] | None = None
    if partition is not None:
        first = start_offsets(admin or admin_client(settings), settings, topic)
        starts = {at: start for at, start in first.items() if at == partition}
    latest: dict[Place, bytes] = {}
    for message in read_records(settings, topic, starts, admin):
        place = cast(int, message.partition()), message.key() or b""
        value = message.value()
        if value is None:
            latest.pop(place, None)
        else:
            latest[place] = value
    return latest


def start_offsets(admin: AdminClient, settings: KafkaSettings, topic: str) -> dict[int, int]:
    """Every partition's first offset. Raises `KafkaException`."""
    return _offsets(admin, settings, topic, START)


def end_offsets(admin: AdminClient, settings: KafkaSettings, topic: str) -> dict[int, int]:
    """Every partition's end, beyond open transactions. Raises `KafkaException`."""
    return _offsets(admin, settings, topic, END)


def _offsets(
    admin: AdminClient, settings: KafkaSettings, topic: str, spec: OffsetSpec
) -> dict[int, int]:
    """Waits up to 30 s for leaders: a new topic has none yet, and a broker that is just back has other epochs."""
    deadline = time.monotonic() + LEADER_SECONDS
    while True:
        try:
            return _asked_offsets(admin, settings, topic, spec)
        except KafkaException as error:
            if not awaits_leader(error.args[0]) or time.monotonic() > deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def _asked_offsets(
    admin: AdminClient, settings: KafkaSettings, topic: str, spec: OffsetSpec
) -> dict[int, int]:
    name = settings.topic(topic)
    listed = admin.list_topics(name, timeout=ANSWER_SECONDS).topics[name]
    if listed.error is not None:
        raise KafkaException(listed.error)
    answers = admin.list_offsets(
        {TopicPartition(name, at): spec for at in listed.partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=ANSWER_SECONDS,
    )
    return {one.partition: answer.result().offset for one, answer in answers.items()}


def readable(messages: list[Message]) -> Iterator[Message]:
    """Those that are records. Raises `KafkaException` for errors that do not pass by themselves."""
    for message in messages:
        error = message.error()
        if error is None:
            yield message
        elif not passes(error):
            raise KafkaException(error)


def reader(settings: KafkaSettings) -> Consumer:
    """A client for assigned partitions, which joins no group and commits nothing."""
    return Consumer(
        {
            **client_properties(settings),
            **GUARANTEES,  # read_committed among them
            "group.id": settings.group("reader"),  # never joined: partitions are assigned
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
        }
    )
