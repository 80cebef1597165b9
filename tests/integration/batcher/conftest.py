"""The batcher as real processes, between a road that feeds it and a model of the dispatcher."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from msgspec import UNSET
from pyroaring import BitMap
from tests.waiting import wait_until

from imagelane.contracts import codec
from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.image_sets import pack_some, unpack
from imagelane.contracts.topics import BATCHES, FINISHED, TOPIC_OF
from imagelane.platform.producer import PRODUCER_DEFAULTS
from imagelane.platform.settings import KafkaSettings

PATIENCE_SECONDS: Final = 60.0
RETENTION: Final = "IMAGELANE_BATCHER__RETENTION_DAYS"
MODULE: Final = ("-m", "imagelane.batcher")
FORGETTING: Final = """
import runpy
from imagelane.batcher import app
app.check_retention = lambda *_: None
runpy.run_module("imagelane.batcher", run_name="__main__")
"""
FORGETFUL: Final = ("-c", FORGETTING)
"""A batcher that forgets sooner than its topics, which it would refuse."""
LEFT_IN_NEED: Final = frozenset({70, 71, 72, 73})
"""Codes with which a worker may leave under faults; a fresh one goes on."""


def job_id(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    return "".join(letters[number // 32**place % 32] for place in range(4)) + "a" * 28


def now() -> datetime:
    return datetime.now(UTC)


class Road:
    """What intake and the processor send."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self._producer = Producer(
            {**PRODUCER_DEFAULTS, "bootstrap.servers": kafka.bootstrap_servers}
        )

    def send(self, event: e.Event) -> None:
        self.send_bytes(TOPIC_OF[type(event)], codec.key_of(event), codec.encode(event))

    def send_bytes(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int = -1
    ) -> None:
        self._producer.produce(
            self.kafka.topic(topic),
            key=key,
            value=value,
            partition=partition,
            headers=[("h", b"1")],
        )
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(PATIENCE_SECONDS) == 0

    def processed(
        self, customer_id: str, job: str, indexes: Iterable[int], failed: Iterable[int] = ()
    ) -> None:
        bad = set(failed)
        for index in indexes:
            self.send(
                e.ImageProcessed(
                    customer_id=customer_id,
                    job_id=job,
                    index=index,
                    url=f"https://images.test/{index}.jpg",
                    recipe="default",
                    destination="default",
                    status="failed" if index in bad else "ok",
                    occurred_at=now(),
                    seconds=0.1,
                )
            )

    def sealed(self, customer_id: str, job: str, images: int) -> None:
        self.send(
            e.JobSealed(
                customer_id=customer_id,
                job_id=job,
                recipe="default",
                destination="default",
                images=images,
                occurred_at=now(),
            )
        )


@dataclass
class ModelDispatcher:
    """One call of a customer at a time, each taking `call_seconds`; the first outcome counts.

    Reads `batches`, answers on `completed`, and keeps the journal of calls.
    """

    road: Road
    call_seconds: float = 0.2
    last_seq: dict[str, int] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], dict[str, BitMap]] = field(default_factory=dict)
    running: dict[str, tuple[float, int, dict[str, BitMap]]] = field(default_factory=dict)
    calls: list[tuple[str, int, dict[str, BitMap]]] = field(default_factory=list)
    finished: list[e.JobFinished] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self) -> Iterator[ModelDispatcher]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def delivered(self, customer_id: str, job: str) -> BitMap:
        return self._of(customer_id, job)["delivered"]

    def images_in_two_calls(self) -> int:
        seen: set[tuple[str, str, int]] = set()
        twice = 0
        for customer_id, _, jobs in list(self.calls):
            for job, images in jobs.items():
                for index in images:
                    twice += (customer_id, job, index) in seen
                    seen.add((customer_id, job, index))
        return twice

    def _work(self) -> None:
        consumer = reader(self.road.kafka, [BATCHES, FINISHED])
        while not self._stop.is_set():
            for message in consumer.consume(200, 0.02):
                self._take(message)
            for customer_id, (ends_at, _, _) in list(self.running.items()):
                if ends_at <= time.monotonic():
                    self._end(customer_id)
        consumer.close()

    def _take(self, message: Message) -> None:
        topic = str(message.topic()).removeprefix(self.road.kafka.topic_prefix)
        event = codec.decode(topic, message.value())
        if isinstance(event, e.JobFinished):
            self.finished.append(event)
        elif isinstance(event, e.ImagesSettled):
            self._settle(event)
        else:
            self._request(event)

    def _request(self, event: e.BatchRequested) -> None:
        customer_id, last_seq = event.customer_id, self.last_seq.get(event.customer_id, 0)
        wanted = {job.job_id: unpack(job.images) for job in event.jobs}
        todo = {job: some - self._decided(customer_id, job) for job, some in wanted.items()}
        todo = {job: some for job, some in todo.items() if some}
        if customer_id in self.running or event.seq != last_seq + 1 or not todo:
            for job in wanted:
                self._tell(customer_id, job=job)
            self._tell(customer_id, answers=event.seq)
            return
        self.last_seq[customer_id] = event.seq
        self.calls.append((customer_id, event.seq, todo))
        self.running[customer_id] = (time.monotonic() + self.call_seconds, event.seq, todo)

    def _end(self, customer_id: str) -> None:
        _, seq, jobs = self.running.pop(customer_id)
        for job, images in jobs.items():
            self._of(customer_id, job)["delivered"] |= images
        self.road.send(
            e.CallCompleted(
                customer_id=customer_id,
                seq=seq,
                last_seq=seq,
                status="completed",
                images=sum(map(len, jobs.values())),
                jobs=[
                    p.JobOutcome(job_id=job, delivered=pack_some(images))
                    for job, images in jobs.items()
                ],
                occurred_at=now(),
            )
        )

    def _settle(self, event: e.ImagesSettled) -> None:
        planned = self.running.get(event.customer_id, (0.0, 0, {}))[2]
        for job in event.jobs:
            for name, images in (("failed", job.failed), ("cancelled", job.cancelled)):
                new = unpack(images) - self._decided(event.customer_id, job.job_id)
                new -= planned.get(job.job_id, BitMap())
                self._of(event.customer_id, job.job_id)[name] |= new
            self._tell(event.customer_id, job=job.job_id)

    def _tell(self, customer_id: str, job: str | None = None, answers: int | None = None) -> None:
        self.road.send(
            e.LaneTold(
                customer_id=customer_id,
                last_seq=self.last_seq.get(customer_id, 0),
                busy=customer_id in self.running,
                occurred_at=now(),
                job=UNSET if job is None else self._outcome(customer_id, job),
                answers=UNSET if answers is None else answers,
            )
        )

    def _outcome(self, customer_id: str, job: str) -> p.JobOutcome:
        sets = {name: pack_some(images) for name, images in self._of(customer_id, job).items()}
        return p.JobOutcome(job_id=job, **sets)

    def _of(self, customer_id: str, job: str) -> dict[str, BitMap]:
        empty = {name: BitMap() for name in ("delivered", "failed", "cancelled")}
        return self.outcomes.setdefault((customer_id, job), empty)

    def _decided(self, customer_id: str, job: str) -> BitMap:
        return BitMap.union(*self._of(customer_id, job).values())


def reader(kafka: KafkaSettings, topics: Iterable[str]) -> Consumer:
    """Reads whole topics from their beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
        }
    )
    names = [kafka.topic(topic) for topic in topics]
    known = consumer.list_topics().topics
    consumer.assign(
        [TopicPartition(name, number, 0) for name in names for number in known[name].partitions]
    )
    return consumer


@dataclass
class Worker:
    """One process of the batcher, with its log."""

    name: str
    kafka: KafkaSettings
    logs: Path
    settings: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)
    starts: int = 0

    def start(self) -> None:
        self.starts += 1
        environment = {
            "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "IMAGELANE_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "IMAGELANE_KAFKA__STRICT_PARTITIONS": str(self.kafka.strict_partitions),
            "IMAGELANE_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
            "IMAGELANE_BATCHER__LINGER_SECONDS": "1",
            "IMAGELANE_BATCHER__RESEND_AFTER_SECONDS": "5",
            "IMAGELANE_BATCHER__SWEEP_AFTER_SECONDS": "0",
            **self.settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(FORGETFUL if RETENTION in self.settings else MODULE)],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}.log"

    def openings(self) -> int:
        """How often it has taken partitions over."""
        return self.log.read_text().count('"event": "gate.opened"')

    def until_open(self) -> None:
        before = self.openings()
        wait_until(lambda: self.openings() > before or self.process.poll() is not None, "gate open")
        assert self.process.poll() is None, self.log.read_text()[-2_000:]

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> int:
        """Ends the process and says with which code it ended."""
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def revive(self) -> None:
        """Starts it anew if it has left in need, as a supervisor would."""
        code = self.process.poll()
        if code is not None:
            assert code in LEFT_IN_NEED, (code, self.log.read_text()[-2_000:])
            self.start()


@contextmanager
def workers(
    kafka: KafkaSettings, logs: Path, count: int = 1, **settings: str
) -> Iterator[list[Worker]]:
    """So many workers; what still runs at the end is killed."""
    names = {f"IMAGELANE_BATCHER__{name.upper()}": value for name, value in settings.items()}
    staff = [Worker(f"worker{number}", kafka, logs, names) for number in range(count)]
    for worker in staff:
        worker.start()
    try:
        yield staff
    finally:
        for worker in staff:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
