"""Dead letters: records that cannot be read, kept whole with the reason and where they stood."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imagelane.contracts.codec import Headers
from imagelane.contracts.dead_letters import ERRORS
from imagelane.contracts.topics import dead_letter_topic
from imagelane.platform.metrics_dead_letters import DEAD_LETTERS
from imagelane.platform.records import Record

if TYPE_CHECKING:  # the batcher has no such producer, and shall not serve its metrics
    from imagelane.platform.producer import EventProducer


def dead_letter_headers(record: Record, error: Exception, *, group: str) -> Headers:
    """The record's own headers, and where it stood and why it is here."""
    why = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp_ms),
        "group": group,
        "exception.class.name": type(error).__name__,
        "message": str(error),
    }
    added = [(f"{ERRORS}{name}", text.encode()) for name, text in why.items()]
    return [*record.headers, *added]


def send_dead_letter(
    producer: EventProducer, record: Record, error: Exception, *, group: str
) -> asyncio.Future[None]:
    """Sends the record's own key, value and headers to `dlq.<topic>`; await it before `done`."""
    DEAD_LETTERS.labels(record.topic).inc()
    return producer.send_bytes(
        dead_letter_topic(record.topic),
        key=record.key,
        value=record.value,
        headers=dead_letter_headers(record, error, group=group),
    )
