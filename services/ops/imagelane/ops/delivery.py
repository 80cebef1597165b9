"""Producing a few records from the command line, and waiting until Kafka has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec import Struct

from imagelane.contracts.codec import Headers
from imagelane.ops.refusals import told
from imagelane.platform.groups import client_properties
from imagelane.platform.producer import PRODUCER_DEFAULTS
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.troubles import Troubles

FLUSH_SECONDS: Final = 30.0
REACH_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.1
ANY_PARTITION: Final = -1


class DeliveryError(Exception):
    """Kafka did not take a record; the message says why."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One record on its way to a topic (named without prefix). A time of 0 is now."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    partition: int = ANY_PARTITION
    timestamp_ms: int = 0


class Place(Struct, frozen=True, kw_only=True):
    """Where a record stands, by the topic's name on the broker."""

    topic: str
    partition: int
    offset: int


Report = Callable[[KafkaError | None, Message], None]


def deliver(settings: KafkaSettings, letters: Iterable[Letter]) -> list[Place]:
    """Waits until Kafka has all of them; where, in the order in which it took them. Raises `DeliveryError`."""
    problems: list[KafkaError] = []
    places: list[Place] = []

    def report(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            problems.append(error)
        else:
            places.append(_place_of(message))

    producer = Producer(
        {
            **PRODUCER_DEFAULTS,
            **client_properties(settings),
            "error_cb": Troubles(structlog.get_logger("imagelane.delivery")),
            "delivery.timeout.ms": int(FLUSH_SECONDS * 1_000),
        }
    )
    try:
        producer.list_topics(
            timeout=REACH_SECONDS
        )  # who has a connection is not kept waiting for its id
    except KafkaException as error:
        raise DeliveryError(f"no broker answers at {settings.bootstrap_servers}") from error
    for letter in letters:
        _produce(producer, settings, letter, report)
    if producer.flush(FLUSH_SECONDS + 1) or problems:
        reason = told(KafkaException(problems[0])) if problems else "no answer"
        raise DeliveryError(f"no delivery to {settings.bootstrap_servers}: {reason}")
    return places


def _place_of(message: Message) -> Place:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise DeliveryError("Kafka took a record and did not say where")
    return Place(topic=topic, partition=partition, offset=offset)


def _produce(producer: Producer, settings: KafkaSettings, letter: Letter, report: Report) -> None:
    while True:
        try:
            producer.produce(
                settings.topic(letter.topic),
                key=letter.key,
                value=letter.value,
                headers=letter.headers,  # type: ignore[arg-type] # the stubs want str | bytes | None values
                partition=letter.partition,
                timestamp=letter.timestamp_ms,
                on_delivery=report,
            )
        except BufferError:
            producer.poll(POLL_SECONDS)
        except KafkaException as error:
            raise DeliveryError(told(error)) from error
        else:
            return
