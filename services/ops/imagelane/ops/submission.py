"""Handing in a list as other systems do: one event on `urls`."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException, Producer

from imagelane.contracts.codec import encode
from imagelane.contracts.events import MAX_INLINE_BYTES, ListSubmitted
from imagelane.contracts.topics import URLS
from imagelane.platform.producer import PRODUCER_DEFAULTS
from imagelane.platform.settings import KafkaSettings

FLUSH_SECONDS: Final = 30.0


class SubmissionError(Exception):
    """The event was not handed in; the message says why and what to do."""


def submit(settings: KafkaSettings, event: ListSubmitted) -> None:
    """Produces the event and waits until Kafka has it. Raises `SubmissionError`."""
    value = encode(event)
    if len(value) > MAX_INLINE_BYTES:
        raise SubmissionError(
            f"the list takes {len(value)} bytes inline and {MAX_INLINE_BYTES} are allowed:"
            " put it on a server and hand in its list_url"
        )
    problems: list[str] = []
    producer = Producer(
        {
            **PRODUCER_DEFAULTS,
            **settings.client,
            "bootstrap.servers": settings.bootstrap_servers,
            "log_level": 0,
            "delivery.timeout.ms": int(FLUSH_SECONDS * 1_000),
        }
    )
    try:
        producer.produce(
            settings.topic(URLS),
            key=event.customer_id.encode(),
            value=value,
            headers=[("content-type", b"application/json")],
            on_delivery=lambda error, _: problems.append(error.str()) if error else None,
        )
    except KafkaException as error:
        raise SubmissionError(error.args[0].str()) from error
    if producer.flush(FLUSH_SECONDS + 1) or problems:
        reason = problems[0] if problems else "no answer"
        raise SubmissionError(f"no delivery to {settings.bootstrap_servers}: {reason}")
