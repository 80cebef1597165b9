"""A record that cannot be read is kept whole, whatever its size: it must not hold up those behind it."""

from __future__ import annotations

import os

import pytest
from confluent_kafka import Consumer, Message, Producer

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.topics import URLS, dead_letter_topic
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.producer import EventProducer
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings

pytestmark = pytest.mark.kafka

LARGEST_TAKEN = 1_048_000
"""Just below what a topic takes by default, and above what librdkafka sends by default."""


def sent_by_somebody_else(settings: KafkaSettings, value: bytes) -> None:
    """Puts a record on `urls` as another system's producer would."""
    config = {"bootstrap.servers": settings.bootstrap_servers, "message.max.bytes": 100_000_000}
    producer = Producer({**config, "compression.type": "zstd"})
    producer.produce(settings.topic(URLS), key=b"acme", value=value, headers=[("trace", b"\xff")])
    assert producer.flush(20) == 0


def the_only_record(settings: KafkaSettings, topic: str) -> Message:
    """The record of a topic that has one."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": settings.group(f"reader-of-{topic}"),
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([settings.topic(topic)])
    try:
        message = consumer.poll(30)
    finally:
        consumer.close()
    assert message is not None
    assert message.error() is None
    return message


@pytest.mark.parametrize(
    "value",
    [b"\xff\x00 not JSON", os.urandom(LARGEST_TAKEN), b"{" * 20_000_000],
    ids=["small", "as large as taken", "larger, but compressed"],
)
async def test_an_unreadable_record_is_kept_with_its_reason(
    kafka: KafkaSettings, value: bytes
) -> None:
    sent_by_somebody_else(kafka, value)
    read = the_only_record(kafka, URLS)
    record = Record(
        topic=URLS,
        partition=read.partition() or 0,
        offset=read.offset() or 0,
        key=b"acme",
        value=value,
        headers=[("trace", b"\xff")],
        timestamp_ms=0,
    )
    assert read.value() == value
    producer = EventProducer(kafka, source="/services/intake")
    error = UnreadableRecordError("customer_id: is missing")
    await send_dead_letter(producer, record, error, group="imagelane-intake")
    await producer.close()
    kept = the_only_record(kafka, dead_letter_topic(URLS))
    assert (kept.key(), kept.value()) == (b"acme", value)
    assert dict(kept.headers() or []) == {
        "trace": b"\xff",
        "__dlq.errors.topic": b"urls",
        "__dlq.errors.partition": str(record.partition).encode(),
        "__dlq.errors.offset": b"0",
        "__dlq.errors.timestamp": b"0",
        "__dlq.errors.group": b"imagelane-intake",
        "__dlq.errors.exception.class.name": b"UnreadableRecordError",
        "__dlq.errors.message": b"customer_id: is missing",
    }
