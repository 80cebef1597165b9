"""Dead letters: records that cannot be read, kept whole with the reason and where they stood.

The header names are those of KIP-1191 (`__dlq.errors.…`), which native viewers already read.
"""

from __future__ import annotations

import asyncio

from imagelane.contracts.topics import dead_letter_topic
from imagelane.platform.producer import EventProducer
from imagelane.platform.records import Record


def send_dead_letter(
    producer: EventProducer, record: Record, error: Exception, *, group: str
) -> asyncio.Future[None]:
    """Sends the record's own key, value and headers to `dlq.<topic>`; await it before `done`."""
    why = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "group": group,
        "exception.class.name": type(error).__name__,
        "message": str(error),
    }
    headers = [(f"__dlq.errors.{name}", text.encode()) for name, text in why.items()]
    return producer.send_bytes(
        dead_letter_topic(record.topic),
        key=record.key,
        value=record.value,
        headers=[*record.headers, *headers],
    )
