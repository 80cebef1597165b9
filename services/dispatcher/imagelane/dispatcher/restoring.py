"""Restoring the lanes of partitions from the log, to its very end, before any input is touched.

The end is the high watermark taken after the assignment. The last stable offset is not: a plan whose
transaction is still to be committed lies beyond it, and would be missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    OffsetSpec,
)

from imagelane.contracts.codec import decode
from imagelane.contracts.topics import CALLS
from imagelane.dispatcher.core.book import Book
from imagelane.platform.groups import client_properties
from imagelane.platform.latest_records import readable, reader
from imagelane.platform.settings import KafkaSettings

READ_RECORDS: Final = 10_000
READ_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 10.0
TRIES: Final = 30
AGAIN_SECONDS: Final = 0.5
FIRST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call] # the client has no type for it
END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the same

Latest = dict[bytes, bytes]


class UnreadableLogError(Exception):
    """The log holds what this version does not understand. Nothing is done for its customers."""


def restore(
    settings: KafkaSettings, partitions: Iterable[int], still_wanted: Callable[[], bool]
) -> dict[int, Book]:
    """The books of these partitions; none at all if they are `still_wanted` no longer.

    Blocks: as long as a transaction of a former owner is open (17 s were seen after a SIGKILL).
    Raises `KafkaException`, and `UnreadableLogError`.
    """
    bounds = _bounds(settings, partitions, still_wanted)
    if bounds is None:
        return {}
    starts, ends = bounds
    latest: dict[int, Latest] = {partition: {} for partition in ends}
    consumer = reader(settings)
    try:
        topic = settings.topic(CALLS)
        # By number: for "the beginning" a new client takes half a second, and where a migration has
        # cut off all there was it never comes to an end.
        behind = [
            TopicPartition(topic, at, starts[at]) for at, end in ends.items() if starts[at] < end
        ]
        consumer.assign(behind)
        while behind and still_wanted():
            _read(consumer, latest)
            behind = [one for one in consumer.position(behind) if one.offset < ends[one.partition]]
    finally:
        consumer.close()
    return (
        {partition: _book(records) for partition, records in latest.items()} if not behind else {}
    )


def _bounds(
    settings: KafkaSettings, partitions: Iterable[int], still_wanted: Callable[[], bool]
) -> tuple[dict[int, int], dict[int, int]] | None:
    """Each partition's first offset and its end; None when they are `still_wanted` no longer.

    Right after a partition got another leader the first answers are errors.
    """
    wanted = list(partitions)
    admin = AdminClient(client_properties(settings))  # named: without it no answer would come
    for tries_left in reversed(range(TRIES)):
        try:
            topic = settings.topic(CALLS)
            return _asked(admin, topic, wanted, FIRST), _asked(admin, topic, wanted, END)
        except KafkaException as error:
            if not tries_left:
                raise
            structlog.get_logger("imagelane.restoring").warning(
                "log.end_unknown", error=error.args[0].str()
            )
            time.sleep(AGAIN_SECONDS)
            if not still_wanted():
                return None
    raise AssertionError("the last try returns or raises")


def _asked(
    admin: AdminClient, topic: str, partitions: Iterable[int], spec: OffsetSpec
) -> dict[int, int]:
    answers = admin.list_offsets(
        {TopicPartition(topic, partition): spec for partition in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=ANSWER_SECONDS,
    )
    return {one.partition: answer.result().offset for one, answer in answers.items()}


def _read(consumer: Consumer, latest: dict[int, Latest]) -> None:
    for message in readable(consumer.consume(READ_RECORDS, READ_SECONDS)):
        partition, key, value = message.partition(), message.key(), message.value()
        if partition is None or key is None:
            continue
        if value is None:
            latest[partition].pop(key, None)
        else:
            latest[partition][key] = value


def _book(records: Latest) -> Book:
    book = Book()
    for key, value in records.items():
        try:
            book.read(decode(CALLS, value))
        except ValueError as error:
            raise UnreadableLogError(f"the log's record {key!r} cannot be read: {error}") from error
    book.put_in_order()
    return book
