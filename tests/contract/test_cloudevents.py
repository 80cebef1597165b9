"""Our records are CloudEvents in Kafka's binary mode: the CloudEvents SDK itself reads them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat

from imagelane.contracts.codec import encode, event_id, headers_of, key_of
from imagelane.contracts.events import ImageRequested, JobSealed

WHEN = datetime(2026, 11, 21, 10, 15, 0, 250_000, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "customer_id": "Müller & Söhne",
    "job_id": "k3v5yq2mzr7w6t4ahs2bjx3cdn5oflpe",
    "recipe": "default",
    "destination": "default",
    "occurred_at": WHEN,
}
IMAGE = ImageRequested(**COMMON, index=7, url="https://shop.example/7.jpg")
JOB = JobSealed(**COMMON, images=8)


@pytest.mark.parametrize("event", [IMAGE, JOB], ids=lambda event: type(event).__name__)
def test_the_sdk_reads_a_record_as_the_event_that_was_sent(
    event: ImageRequested | JobSealed,
) -> None:
    message = KafkaMessage(
        headers=dict(headers_of(event, source="/services/intake")),
        key=key_of(event),
        value=encode(event),
    )
    read = from_kafka(message, JSONFormat())
    data: Any = read.get_data()
    assert read.get_specversion() == "1.0"
    assert read.get_id() == event_id(event)
    assert read.get_type() == event.__struct_config__.tag == data["type"]
    assert read.get_source() == "/services/intake"
    assert read.get_time() == WHEN
    assert read.get_datacontenttype() == "application/json"
    assert read.get_extension("partitionkey") == "Müller & Söhne" == data["customer_id"]


def test_header_names_do_not_repeat_and_values_are_utf_8() -> None:
    headers = headers_of(IMAGE, source="/services/intake")
    assert len({name for name, _ in headers}) == len(headers)
    assert all(value.decode() for _, value in headers)


def test_the_events_of_one_image_share_a_trace_and_those_of_another_do_not() -> None:
    first, again, other = (
        dict(headers_of(event, source="/services/intake"))["traceparent"].split(b"-")
        for event in (IMAGE, IMAGE, JOB)
    )
    assert first[1] == again[1] != other[1]
    assert first[2] != again[2]
