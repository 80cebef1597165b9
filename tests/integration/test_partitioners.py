from __future__ import annotations

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    NewTopic,
)

from imagelane.core.partitioning import partition_of
from imagelane.platform.groups import client_properties
from imagelane.platform.producer import PRODUCER_DEFAULTS
from imagelane.platform.settings import KafkaSettings

PARTITIONS = 12
ALPHABET = "abcXYZ019-_. äßéñ客户图像写真画像고객😀🚀👩‍🚀"


def customer_ids(count: int) -> set[str]:
    """Customer IDs of every length and script."""
    chance = random.Random(20_261_121)
    return {
        f"{number}{''.join(chance.choices(ALPHABET, k=chance.randrange(40)))}"
        for number in range(count)
    }


@pytest.mark.kafka
def test_every_client_puts_a_customer_on_the_same_partition(kafka: KafkaSettings) -> None:
    """Decision 2: two owners of one customer would make two active calls."""
    topic = kafka.topic("partitioners")
    admin = AdminClient(client_properties(kafka))
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        made.result()
    placed: dict[bytes, int | None] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        placed[message.key() or b""] = message.partition()

    producer = Producer({**PRODUCER_DEFAULTS, **client_properties(kafka)})
    keys = [customer.encode() for customer in customer_ids(1_000)]
    for key in keys:
        producer.produce(topic, key=key, value=b"", on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(30) == 0

    everywhere = list(range(PARTITIONS))
    faust = DefaultPartitioner()
    assert placed == {key: partition_of(key, PARTITIONS) for key in keys}
    assert placed == {key: faust(key, everywhere, everywhere) for key in keys}
    assert set(placed.values()) == set(everywhere)
