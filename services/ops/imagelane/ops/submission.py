"""Handing in a list as other systems do: one event on `urls`."""

from __future__ import annotations

from imagelane.contracts.codec import encode
from imagelane.contracts.events import MAX_INLINE_BYTES, ListSubmitted
from imagelane.contracts.topics import URLS
from imagelane.ops.delivery import DeliveryError, Letter, Place, deliver
from imagelane.platform.settings import KafkaSettings


class SubmissionError(Exception):
    """The event was not handed in; the message says why and what to do."""


def submit(settings: KafkaSettings, event: ListSubmitted) -> Place:
    """Produces the event and waits until Kafka has it; where it stands. Raises `SubmissionError`."""
    value = encode(event)
    if len(value) > MAX_INLINE_BYTES:
        raise SubmissionError(
            f"the list takes {len(value)} bytes inline and {MAX_INLINE_BYTES} are allowed:"
            " put it on a server and hand in its list_url"
        )
    letter = Letter(
        URLS, event.customer_id.encode(), value, [("content-type", b"application/json")]
    )
    try:
        (place,) = deliver(settings, [letter])
    except DeliveryError as error:
        raise SubmissionError(str(error)) from error
    return place
