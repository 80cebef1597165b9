"""What services put aside."""

from __future__ import annotations

from confluent_kafka import Message
from tests.waiting import wait_until

from imagelane.contracts.topics import dead_letter_topic
from imagelane.platform.latest_records import read_records
from imagelane.platform.settings import KafkaSettings


def letters_of(kafka: KafkaSettings, topic: str, *, count: int) -> list[Message]:
    """What has come to `dlq.<topic>`, as soon as so many have."""
    found: list[Message] = []

    def have_come() -> bool:
        found[:] = read_records(kafka, dead_letter_topic(topic))
        return len(found) >= count

    wait_until(have_come, f"{count} letters of {topic}")
    return found
