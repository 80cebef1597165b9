"""The road's topics as an outsider reads them: every record from the beginning on, kept in memory."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    OffsetSpec,
)

from imagelane.contracts import topics
from imagelane.contracts.codec import decode
from imagelane.platform.settings import KafkaSettings

ROAD: Final = (
    topics.JOBS,
    topics.REQUESTED,
    topics.DOWNLOADED,
    topics.PROCESSED,
    topics.COMPLETED,
    topics.FINISHED,
    topics.MISSING,
    topics.CALLBACKS,
)
DEAD: Final = tuple(
    map(topics.dead_letter_topic, (topics.URLS, topics.BATCHES, topics.TICKS, *ROAD))
)
LOOK_SECONDS: Final = 0.05
END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client's own lack


@dataclass(frozen=True, slots=True)
class Told:
    """One record: its event, and the id by which a repetition of it is known."""

    ce_id: str
    event: Any


class Records:
    """Reads further with each look; survives a broker that is away."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.dead_letters: list[str] = []
        self._told: defaultdict[tuple[str, str], list[Told]] = defaultdict(list)
        self._next: dict[TopicPartition, int] = {}
        client: dict[str, str | int | float | bool] = {
            **kafka.security.librdkafka_properties(),
            "bootstrap.servers": kafka.bootstrap_servers,
            "log_level": 0,
        }
        self._admin = AdminClient(client)
        self._consumer = Consumer(
            {
                **client,
                "group.id": kafka.group("onlooker"),
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 50,
            }
        )
        self._names = {kafka.topic(name): name for name in (*ROAD, *DEAD)}
        listed = self._consumer.list_topics(timeout=30).topics
        places = [
            TopicPartition(full, number, OFFSET_BEGINNING)
            for full in self._names.keys() & listed.keys()
            for number in listed[full].partitions
        ]
        self._places = [TopicPartition(one.topic, one.partition) for one in places]
        self._consumer.assign(places)

    def of(self, topic: str, customer: str) -> list[Told]:
        """What was seen of the customer on the topic, in its order."""
        return self._told[topic, customer]

    def all_of(self, topic: str) -> list[Told]:
        """The same of every customer."""
        return [one for (name, _), told in self._told.items() if name == topic for one in told]

    async def look(self) -> None:
        """Takes what has arrived, waiting for it for a moment."""
        await asyncio.to_thread(self._look)

    async def look_to_end(self, seconds: float = 30.0) -> None:
        """Takes everything that the topics hold now."""
        await asyncio.to_thread(self._look_to_end, seconds)

    def close(self) -> None:
        """Ends the client."""
        self._consumer.close()

    def _look_to_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        ends = self._ends(deadline)
        while any(self._next.get(place, 0) < end for place, end in ends.items()):
            assert time.monotonic() < deadline, "the topics could not be read to their end"
            self._look()

    def _ends(self, deadline: float) -> dict[TopicPartition, int]:
        while True:
            try:
                self._admin.list_topics(timeout=10)  # or it asks with epochs from before a restart
                answers = self._admin.list_offsets(dict.fromkeys(self._places, END))
                return {place: answer.result().offset for place, answer in answers.items()}
            except KafkaException:
                if time.monotonic() > deadline:
                    raise

    def _look(self) -> None:
        for message in self._consumer.consume(10_000, LOOK_SECONDS):
            error = message.error()
            if error is None:
                self._keep(message)
            elif error.fatal():
                raise KafkaException(error)

    def _keep(self, message: Message) -> None:
        full, partition, offset = message.topic(), message.partition(), message.offset()
        assert full is not None
        assert partition is not None
        assert offset is not None
        topic = self._names[full]
        self._next[TopicPartition(full, partition)] = offset + 1
        if topic in DEAD:
            self.dead_letters.append(f"{topic}: {message.headers()} {message.value()!r}")
            return
        event = decode(topic, message.value())
        headers = dict(message.headers() or [])
        self._told[topic, event.customer_id].append(Told(_text(headers["ce_id"]), event))


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
