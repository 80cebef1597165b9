"""Watching the road from outside: a reader of its topics that counts, and knows no service."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.codec import decode
from imagelane.contracts.topics import (
    COMPLETED,
    DOWNLOADED,
    FINISHED,
    JOBS,
    PROCESSED,
    REQUESTED,
)
from imagelane.platform.groups import client_properties
from imagelane.platform.settings import KafkaSettings

WATCHED: Final = (JOBS, REQUESTED, DOWNLOADED, PROCESSED, COMPLETED, FINISHED)


@dataclass
class Stage:
    """How many distinct images passed a stage, and when (record times, in seconds)."""

    ok: int = 0
    failed: int = 0
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def images(self) -> int:
        """Those that passed, well or not."""
        return self.ok + self.failed

    @property
    def per_second(self) -> float:
        """Images per second between the first and the last."""
        seconds = self.last_at - self.first_at
        return (self.images - 1) / seconds if seconds > 0 else 0.0

    def count(self, at_seconds: float, *, ok: bool) -> None:
        """One more image."""
        self.first_at = self.first_at or at_seconds
        self.last_at = max(self.last_at, at_seconds)
        if ok:
            self.ok += 1
        else:
            self.failed += 1


@dataclass
class JobWatch:
    """What was seen of one job."""

    customer_id: str
    job_id: str
    idempotency_key: str | None = None
    images: int | None = None
    refused: p.Failure | None = None
    stages: dict[str, Stage] = field(
        default_factory=lambda: {REQUESTED: Stage(), DOWNLOADED: Stage(), PROCESSED: Stage()}
    )
    failures: Counter[str] = field(default_factory=Counter)
    failed_indexes: set[int] = field(default_factory=set)
    delivered: int = 0
    calls: int = 0
    finished: list[e.JobFinished] = field(default_factory=list)
    _seen: set[tuple[str, int]] = field(default_factory=set)
    _seqs: set[int] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        """Finished, or refused."""
        return bool(self.finished) or self.refused is not None

    def passed(self, topic: str, index: int, at_seconds: float, failure: p.Failure | None) -> None:
        """An image passed a stage; only its first time counts."""
        if (topic, index) in self._seen:
            return
        self._seen.add((topic, index))
        self.stages[topic].count(at_seconds, ok=failure is None)
        if topic == PROCESSED and failure is not None:
            self.failures[f"{failure.code}: {failure.reason}"] += 1
            self.failed_indexes.add(index)

    def called(self, seq: int, delivered: int) -> None:
        """A call of the customer delivered images of this job."""
        if seq not in self._seqs:
            self._seqs.add(seq)
            self.calls += 1
            self.delivered += delivered


class RoadWatch:
    """Follows the topics from now on, in a thread of its own, until `stop`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._jobs: dict[str, JobWatch] = {}
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._consumer = Consumer(
            {
                **client_properties(settings),
                # Of the deployment's names, so that it may be looked for where access lists are.
                "group.id": settings.group(f"watch-{uuid.uuid4().hex}"),
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._names = {settings.topic(name): name for name in WATCHED}
        self._consumer.assign(self._partitions())
        self._thread = threading.Thread(target=self._run, name="road-watch", daemon=True)
        self._thread.start()

    def job(self, idempotency_key: str) -> JobWatch | None:
        """The job that was accepted or refused under this key."""
        with self._lock:
            found = [j for j in self._jobs.values() if j.idempotency_key == idempotency_key]
        return found[0] if found else None

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _partitions(self) -> list[TopicPartition]:
        topics = self._consumer.list_topics(timeout=30).topics
        return [
            TopicPartition(name, partition, OFFSET_BEGINNING)
            for name in self._names
            for partition in topics[name].partitions
        ]

    def _run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(500, timeout=0.2):
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        topic = self._names[str(message.topic())]
        event = decode(topic, message.value())
        with self._lock:
            self._fold(topic, event, message.timestamp()[1] / 1_000)

    def _fold(self, topic: str, event: Any, at_seconds: float) -> None:
        match event:
            case e.ImageRequested():
                self._of(event).passed(topic, event.index, at_seconds, None)
            case e.ImageDownloaded() | e.ImageProcessed():
                failure = event.failure if isinstance(event.failure, p.Failure) else None
                self._of(event).passed(topic, event.index, at_seconds, failure)
            case e.JobAccepted():
                self._of(event).idempotency_key = event.idempotency_key or None
            case e.JobRefused():
                job = self._of(event)
                job.idempotency_key = event.idempotency_key or None
                job.refused = event.failure
            case e.JobSealed():
                self._of(event).images = event.images
            case e.JobFinished():
                self._of(event).finished.append(event)
            case e.CallCompleted():
                for outcome in event.jobs:
                    images = outcome.delivered
                    count = images.count if isinstance(images, p.ImageSet) else 0
                    self._of_id(event.customer_id, outcome.job_id).called(event.seq, count)
            case _:
                pass

    def _of(self, event: Any) -> JobWatch:
        return self._of_id(event.customer_id, event.job_id)

    def _of_id(self, customer_id: str, job_id: str) -> JobWatch:
        return self._jobs.setdefault(job_id, JobWatch(customer_id, job_id))
