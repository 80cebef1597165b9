"""A record as it comes from Kafka: an event, a dead letter of a service's, or one that cannot be read."""

from __future__ import annotations

from typing import Final

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.dead_letters import MAX_PARTITION, number_in, service_in, told_in
from imagelane.contracts.image_sets import UnreadableImageSetError
from imagelane.contracts.topics import CALLS, dead_letter_topic
from imagelane.core.partitioning import partition_of
from imagelane.platform.records import Record
from imagelane.tracker.core.changes import Changes, OutOfRangeError, Place, Row, plain
from imagelane.tracker.core.fold import fold

DEAD_LETTER: Final = dead_letter_topic("")
OURSELVES: Final = "tracker"
MAX_KEY_CHARS: Final = 255
MAX_REASON_CHARS: Final = 2_000


def take(changes: Changes, record: Record, strict_partitions: int = 0) -> str | None:
    """Notes what the record says. Returns why it could not be read, if so: that is noted too.

    A record without a value tells nothing: it is the end of a key on a compacted topic.
    `strict_partitions` tells the logs of lanes that a growth has moved from what it has left behind.
    """
    if record.topic.startswith(DEAD_LETTER):
        changes.dead_letters.append(_dead_letter(record))
        return None
    if record.value is None:
        return None
    place = _place_of(record, strict_partitions)
    try:
        fold(changes, place, decode(record.topic, record.value))
    except (UnreadableRecordError, UnreadableImageSetError, OutOfRangeError) as error:
        changes.dead_letters.append(_row(record, place, OURSELVES, str(error)))
        return str(error)
    return None


def _place_of(record: Record, strict_partitions: int) -> Place:
    place = Place(record.topic, record.partition, record.offset)
    if record.topic != CALLS or not strict_partitions:
        return place
    is_home = partition_of(record.key or b"", strict_partitions) == record.partition
    return place._replace(partitions=strict_partitions) if is_home else place


def _dead_letter(record: Record) -> Row:
    """What the headers say that the service gave it."""
    told = told_in(record.headers)
    source = Place(
        told.get("topic", record.topic),
        number_in(told.get("partition"), record.partition, most=MAX_PARTITION),
        number_in(told.get("offset"), record.offset),
    )
    service = service_in(told)
    row = _row(record, source, service, told.get("message", ""))
    return row | {"dead_letter_offset": record.offset}


def _row(record: Record, place: Place, service: str, reason: str) -> Row:
    key = (record.key or b"").decode("utf-8", "replace")
    return {
        "topic": plain(place.topic),
        "partition": place.partition,
        "offset": place.offset,
        "service": plain(service),
        "reason": plain(reason[:MAX_REASON_CHARS]),
        "at": record.timestamp_ms,
        "record_key": plain(key[:MAX_KEY_CHARS]) or None,
        "size_bytes": len(record.value or b""),
        "dead_letter_offset": None,
    }
