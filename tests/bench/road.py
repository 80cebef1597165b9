"""The pipeline as it is measured from outside: a list goes in, and its topics tell what became of it."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from tests.bench.processes import Cpu, cpu_seconds, spent_ms

from imagelane.contracts.codec import decode
from imagelane.contracts.events import JobFinished, ListSubmitted
from imagelane.contracts.topics import FINISHED, PROCESSED
from imagelane.core.partitioning import partition_of
from imagelane.ops.local import SERVICES, LocalStack
from imagelane.ops.submission import submit

ROUND_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.1
READ_SECONDS: Final = 30.0
PARTS: Final = ("kafka", "gateway", "standin", *SERVICES)
OURSELVES: Final = "benchmark"


@dataclass(frozen=True, slots=True)
class RoadRound:
    """One list on its way, from its submission. `processed_at` is each image's time, by its index."""

    customer_id: str
    job_id: str
    images: int
    seconds_to_processed: float
    seconds_to_finished: float
    cpu_ms_per_image: dict[str, Cpu]
    processed_at: dict[int, float] = field(repr=False)

    @property
    def per_second(self) -> float:
        """Images per second, up to the last processed one."""
        return self.images / self.seconds_to_processed


@dataclass(slots=True)
class _Job:
    event: JobFinished
    told_at: float


class Road:
    """Hands lists to a running stack and measures them. `others` are processes to name beside ours."""

    def __init__(self, stack: LocalStack, others: dict[str, int]) -> None:
        self._stack = stack
        self._others = others
        self._told: dict[str, _Job] = {}
        self._finished = self._reader()
        self._finished.assign(self._ends(FINISHED, range(stack.kafka.strict_partitions)))

    def parts(self) -> dict[str, int]:
        """The process of each part. Raises `RuntimeError` if one was started anew: figures would lie."""
        supervisor = self._stack.supervisor
        pids: dict[str, int] = {}
        for name in PARTS:
            pid = supervisor.pid(name)
            if pid is None or supervisor.starts[name] != 1:
                raise RuntimeError(f"{name} has died; see {self._stack.logs / name}.log")
            pids[name] = pid
        return pids | self._others

    async def idle_ms_per_second(self, seconds: float) -> dict[str, float]:
        """CPU of every part while nothing is to be done."""
        before = self._cpu()
        await asyncio.sleep(seconds)
        spent = spent_ms(before, self._cpu())
        return {name: one.total / seconds for name, one in spent.items()}

    async def run(self, urls: Sequence[str] = (), *, list_url: str = "", images: int) -> RoadRound:
        """One list of a new customer. Raises `RuntimeError` if an image fails or the time is up."""
        key = f"bench-{uuid.uuid4().hex[:12]}"
        home = partition_of(key.encode(), self._stack.kafka.strict_partitions)
        starts = await asyncio.to_thread(self._ends, PROCESSED, [home])
        event = (
            ListSubmitted(customer_id=key, list_url=list_url, idempotency_key=key)
            if list_url
            else ListSubmitted(customer_id=key, urls=list(urls), idempotency_key=key)
        )
        cpu_before, began_at = self._cpu(), time.time()
        await asyncio.to_thread(submit, self._stack.kafka, event)
        job = await self._finish(key)
        cpu_ms = spent_ms(cpu_before, self._cpu())
        if (job.event.images, job.event.delivered) != (images, images):
            raise RuntimeError(f"not all of {images} images were delivered: {job.event}")
        processed_at = await asyncio.to_thread(self._times, starts, job.event.job_id, images)
        return RoadRound(
            customer_id=key,
            job_id=job.event.job_id,
            images=images,
            seconds_to_processed=max(processed_at.values()) - began_at,
            seconds_to_finished=job.told_at - began_at,
            cpu_ms_per_image={
                name: Cpu(one.user / images, one.system / images) for name, one in cpu_ms.items()
            },
            processed_at=processed_at,
        )

    def close(self) -> None:
        """Ends the reader."""
        self._finished.close()

    async def _finish(self, customer_id: str) -> _Job:
        deadline = time.monotonic() + ROUND_SECONDS
        while customer_id not in self._told:
            if time.monotonic() > deadline:
                raise RuntimeError(f"a list did not finish within {ROUND_SECONDS:.0f} s")
            self.parts()
            message = await asyncio.to_thread(self._finished.poll, POLL_SECONDS)
            if message is not None and message.error() is None:
                event: JobFinished = decode(FINISHED, message.value())
                self._told[event.customer_id] = _Job(event, _seconds(message))
        return self._told[customer_id]

    def _times(
        self, starts: Sequence[TopicPartition], job_id: str, images: int
    ) -> dict[int, float]:
        """When each image was told as processed, for the first time. Read when all is over."""
        reader = self._reader()
        reader.assign(list(starts))
        times: dict[int, float] = {}
        deadline = time.monotonic() + READ_SECONDS
        while len(times) < images:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {len(times)} of {images} images are on the topic")
            for message in reader.consume(1_000, POLL_SECONDS):
                event = decode(PROCESSED, message.value())
                if event.job_id == job_id:
                    times.setdefault(event.index, _seconds(message))
        reader.close()
        return times

    def _cpu(self) -> dict[str, Cpu]:
        ours = cpu_seconds({OURSELVES: os.getpid()})[OURSELVES]
        return cpu_seconds(self.parts()) | {OURSELVES: ours}

    def _reader(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._stack.kafka.bootstrap_servers,
                "group.id": f"bench-{uuid.uuid4().hex}",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )

    def _ends(self, topic: str, partitions: Iterable[int]) -> list[TopicPartition]:
        """Where the topic's partitions end now."""
        name = self._stack.kafka.topic(topic)
        places = [TopicPartition(name, partition) for partition in partitions]
        for place in places:
            place.offset = self._end(place)
        return places

    def _end(self, place: TopicPartition) -> int:
        deadline = time.monotonic() + READ_SECONDS
        while True:
            try:
                _, end = self._finished.get_watermark_offsets(place, timeout=READ_SECONDS)
            except KafkaException:
                # A broker that has just made the topic may not know yet that it leads it.
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return end


def _seconds(message: Message) -> float:
    return message.timestamp()[1] / 1_000
