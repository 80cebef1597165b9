"""Reads the topics as an outsider, without a line of the services' code, and writes down what the checker needs."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    OffsetSpec,
)
from tests.chaos.history import raw_of

WRITTEN: Final = ("finished", "completed")
COUNTED: Final = ("jobs", "requested", "downloaded", "processed", "batches", "callbacks", "missing")
LOOK_SECONDS: Final = 0.05
END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the client's own lack
Event = dict[str, Any]


class Onlooker:
    """Reads on with each look; survives a broker that is away."""

    def __init__(self, bootstrap_servers: str, records: Path) -> None:
        self.ends: dict[str, Event] = {}
        """Each job's end, by its id."""
        self.accepted: dict[str, int] = {}
        """Each accepted job, with the number of its images once it is sealed, else -1."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Records by topic and customer."""
        self.records: list[Event] = []
        self.progress: list[float] = []
        """When an image was processed, on the monotonic clock."""
        self.fetched: defaultdict[str, Counter[int]] = defaultdict(Counter)
        """How often each image of a job was downloaded."""
        client: dict[str, str | int | float | bool] = {
            "bootstrap.servers": bootstrap_servers,
            "log_level": 0,
        }
        self._file = records.open("a", encoding="utf-8")
        self._admin = AdminClient(client)
        self._consumer = Consumer(
            {
                **client,
                "group.id": "chaos",
                "enable.auto.commit": False,
                "enable.partition.eof": True,  # a transaction's marker ends a topic, and is no message
                "fetch.wait.max.ms": 50,
            }
        )
        self._next: dict[tuple[str, int], int] = {}
        self._places: list[TopicPartition] = []
        self.follow_all()

    def follow_all(self) -> None:
        """Reads every partition that there is now, from its beginning or from where it was read to."""
        listed = self._consumer.list_topics(timeout=30).topics
        self._places = [
            TopicPartition(name, number, self._next.get((name, number), OFFSET_BEGINNING))
            for name, topic in listed.items()
            if name in (*WRITTEN, *COUNTED) or name.startswith("dlq.")
            for number in topic.partitions
        ]
        self._consumer.assign(self._places)

    async def look(self) -> None:
        """Takes what has arrived, waiting for it for a moment."""
        await asyncio.to_thread(self._look)

    async def look_to_end(self, seconds: float = 60.0) -> None:
        """Takes everything that the topics hold now."""
        await asyncio.to_thread(self._look_to_end, seconds)

    def close(self) -> None:
        """Ends the client."""
        self._consumer.close()
        self._file.close()

    def _look_to_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        ends = self._ends(deadline)
        while any(self._next.get(place, 0) < end for place, end in ends.items()):
            assert time.monotonic() < deadline, "the topics could not be read to their end"
            self._look()

    def _ends(self, deadline: float) -> dict[tuple[str, int], int]:
        places = [TopicPartition(one.topic, one.partition) for one in self._places]
        while True:
            try:
                self._admin.list_topics(timeout=10)  # or it asks with epochs from before a restart
                answers = self._admin.list_offsets(dict.fromkeys(places, END))
                return {
                    (one.topic, one.partition): answer.result().offset
                    for one, answer in answers.items()
                }
            except KafkaException:
                if time.monotonic() > deadline:
                    raise

    def _look(self) -> None:
        for message in self._consumer.consume(10_000, LOOK_SECONDS):
            error = message.error()
            if error is None:
                self._keep(message)
            elif error.name() == "_PARTITION_EOF":
                self._next[str(message.topic()), message.partition() or 0] = message.offset() or 0
            elif error.fatal():
                raise KafkaException(error)

    def _keep(self, message: Message) -> None:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        if offset < self._next.get((topic, partition), 0):
            return
        self._next[topic, partition] = offset + 1
        value = message.value()
        if topic.startswith("dlq."):
            self._write(topic, {"raw": raw_of(value), "headers": repr(message.headers())})
            return
        event = _event(value)
        if event is None:
            return  # poison, which the checker expects among the dead letters
        self.counts[topic, str(event.get("customer_id"))] += 1
        self._note(topic, event)
        if topic in WRITTEN:
            ids = dict(message.headers() or [])
            self._write(topic, {"id": repr(ids.get("ce_id")), "value": event})

    def _note(self, topic: str, event: Event) -> None:
        kind, job = str(event.get("type")), str(event.get("job_id"))
        if topic == "finished":
            self.ends[job] = event
        elif kind.startswith("job.accepted."):
            self.accepted.setdefault(job, -1)
        elif kind.startswith("job.sealed."):
            self.accepted[job] = int(event.get("images", -1))
        elif kind.startswith("image.downloaded."):
            self.fetched[job][int(event.get("index", -1))] += 1
        elif kind.startswith("image.processed."):
            self.progress.append(time.monotonic())

    def _write(self, topic: str, fields: Event) -> None:
        record = {"topic": topic, **fields}
        self.records.append(record)
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def _event(value: bytes | None) -> Event | None:
    try:
        event = json.loads(value or b"", parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(text: str) -> None:
    raise ValueError(text)
