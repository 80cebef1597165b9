"""Lives of jobs, as records on topics: what a broker would hold when everything is over."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from imagelane.contracts import events as e
from imagelane.contracts.codec import encode, headers_of, key_of
from imagelane.contracts.image_sets import pack
from imagelane.contracts.notices import NoticeRecorded
from imagelane.contracts.parts import (
    CallPlan,
    Failure,
    JobOutcome,
    Original,
    Output,
    PlannedImages,
    ReadyImages,
    SettledImages,
)
from imagelane.contracts.topics import CALLS, SPREAD, TOPIC_OF
from imagelane.core.failures import Code, failure
from imagelane.core.partitioning import partition_of
from imagelane.platform.records import Record

PARTITIONS: Final = 3
BEGIN: Final = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
BASE: Final = "https://images.example"
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"

Log = dict[tuple[str, int], list[Record]]


@dataclass
class Broker:
    """Appends events as the services would, with a clock that moves a little each time."""

    rng: random.Random
    log: Log = field(default_factory=dict)
    now: datetime = BEGIN

    def tick(self) -> datetime:
        self.now += timedelta(milliseconds=self.rng.randrange(1, 400))
        return self.now

    def append(self, event: e.Event) -> Record:
        topic = TOPIC_OF[type(event)]
        customer = key_of(event)
        spread = topic in SPREAD
        partition = self.rng.randrange(PARTITIONS) if spread else partition_of(customer, PARTITIONS)
        records = self.log.setdefault((topic, partition), [])
        at = len(records) * (2 if topic == CALLS else 1)  # transactions leave gaps
        record = Record(
            topic=topic,
            partition=partition,
            offset=at,
            key=customer,
            value=encode(event),
            headers=headers_of(event, source="/tests"),
            timestamp_ms=int(self.now.timestamp() * 1_000),
        )
        records.append(record)
        return record


@dataclass
class JobOfLife:
    """A job while it is lived: which of its images have which end."""

    customer_id: str
    job_id: str
    images: int
    broken: dict[int, Failure]
    delivered: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    cancelled: set[int] = field(default_factory=set)

    def recorded(self, at: datetime) -> e.JobRecorded:
        return e.JobRecorded(
            customer_id=self.customer_id,
            job_id=self.job_id,
            occurred_at=at,
            delivered=pack(self.delivered) if self.delivered else UNSET,
            failed=pack(self.failed) if self.failed else UNSET,
            cancelled=pack(self.cancelled) if self.cancelled else UNSET,
        )


def some_job(rng: random.Random, customer_id: str, images: int, failing: float = 0.2) -> JobOfLife:
    """A job that was not handed in yet."""
    broken = {
        index: failure(rng.choice([Code.TIMEOUT, Code.NOT_FOUND]), rng.choice(["", "really"]))
        for index in range(images)
        if rng.random() < failing
    }
    job_id = "".join(rng.choice(LETTERS) for _ in range(32))
    return JobOfLife(customer_id, job_id, images, broken)


def accept(broker: Broker, job: JobOfLife) -> None:
    """The list is read, and its images are requested."""
    common: dict[str, Any] = {"customer_id": job.customer_id, "job_id": job.job_id}
    broker.append(
        e.JobAccepted(
            **common,
            recipe="default",
            destination="default",
            occurred_at=broker.tick(),
            idempotency_key="key",
            images=job.images,
        )
    )
    for index in range(job.images):
        broker.append(
            e.ImageRequested(
                **common,
                index=index,
                url=url_of(index),
                recipe="default",
                destination="default",
                occurred_at=broker.tick(),
                group=group_of(index),
            )
        )
    broker.append(
        e.JobSealed(
            **common,
            recipe="default",
            destination="default",
            images=job.images,
            occurred_at=broker.tick(),
        )
    )


def url_of(index: int) -> str:
    return f"https://shop.example/{index}/photo.jpg"


def group_of(index: int) -> str | UnsetType:
    return "shoes" if index % 2 else UNSET


def process(broker: Broker, job: JobOfLife, again: float = 0.1) -> None:
    """The images are downloaded and processed; some of them more than once, as at least once allows."""
    for index in broker.rng.sample(range(job.images), job.images):
        for _ in range(1 + (broker.rng.random() < again)):
            broker.append(_downloaded(broker, job, index))
        for _ in range(1 + (broker.rng.random() < again)):
            broker.append(_processed(broker, job, index))


def _downloaded(broker: Broker, job: JobOfLife, index: int) -> e.ImageDownloaded:
    why = job.broken.get(index)
    original = Original(key="originals/x", size_bytes=1_000 + index, sha256="0" * 64)
    return e.ImageDownloaded(
        customer_id=job.customer_id,
        job_id=job.job_id,
        index=index,
        url=url_of(index),
        recipe="default",
        destination="default",
        status="failed" if why else "ok",
        occurred_at=broker.tick(),
        seconds=broker.rng.randrange(1, 500) / 1_000,
        original=UNSET if why else original,
        failure=why or UNSET,
        group=group_of(index),
    )


def _processed(broker: Broker, job: JobOfLife, index: int) -> e.ImageProcessed:
    why = job.broken.get(index)
    output = Output(
        name="image",
        url=f"{BASE}/{job.job_id}/{index}/image.jpg",
        content_type="image/jpeg",
        width=640,
        height=480,
        size_bytes=2_000 + index,
    )
    return e.ImageProcessed(
        customer_id=job.customer_id,
        job_id=job.job_id,
        index=index,
        url=url_of(index),
        recipe="default",
        destination="default",
        status="failed" if why else "ok",
        occurred_at=broker.tick(),
        seconds=0.05,
        outputs=UNSET if why else [output],
        failure=why or UNSET,
        group=group_of(index),
    )


def settle(broker: Broker, job: JobOfLife, cancelled: Iterable[int] = ()) -> None:
    """What failed on the road is settled, and what a person has cancelled."""
    job.failed |= set(job.broken) - job.cancelled - job.delivered
    job.cancelled |= set(cancelled) - job.failed - job.delivered
    settled = SettledImages(
        job_id=job.job_id,
        failed=pack(job.failed) if job.failed else UNSET,
        cancelled=pack(job.cancelled) if job.cancelled else UNSET,
    )
    broker.append(
        e.ImagesSettled(customer_id=job.customer_id, jobs=[settled], occurred_at=broker.tick())
    )
    broker.append(job.recorded(broker.tick()))


def call(broker: Broker, job: JobOfLife, seq: int, images: set[int], lost: frozenset[int]) -> None:
    """A call from the request to its answer; `lost` ones come back as failed."""
    packed = pack(images)
    jobs = [ReadyImages(job_id=job.job_id, recipe="default", destination="default", images=packed)]
    broker.append(
        e.BatchRequested(customer_id=job.customer_id, seq=seq, jobs=jobs, occurred_at=broker.tick())
    )
    plan = CallPlan(
        seq=seq,
        jobs=[
            PlannedImages(job_id=job.job_id, recipe="default", destination="default", images=packed)
        ],
        images=len(images),
        reference=f"v1-{seq}",
        body_sha256="0" * 64,
        planned_at=broker.tick(),
    )
    lane: dict[str, Any] = {"customer_id": job.customer_id, "last_seq": seq}
    begun: dict[str, Any] = {"plan": plan, "attempts": 1, "first_attempt_at": broker.tick()}
    broker.append(e.LaneRecorded(**lane, state="planned", occurred_at=broker.tick(), plan=plan))
    broker.append(e.LaneRecorded(**lane, state="submitting", occurred_at=broker.tick(), **begun))
    running: dict[str, Any] = {**begun, "call_id": f"b{seq}", "active_since": broker.tick()}
    broker.append(e.LaneRecorded(**lane, state="active", occurred_at=broker.tick(), **running))
    job.delivered |= images - lost
    job.failed |= lost
    outcome = JobOutcome(
        job_id=job.job_id,
        delivered=pack(images - lost) if images - lost else UNSET,
        failed=pack(lost) if lost else UNSET,
    )
    answer = e.CallCompleted(
        **lane,
        seq=seq,
        status="partial" if lost else "completed",
        images=len(images),
        jobs=[outcome],
        occurred_at=broker.tick(),
        call_id=f"b{seq}",
        started_at=running["active_since"],
    )
    broker.append(job.recorded(answer.occurred_at))
    broker.append(
        e.LaneRecorded(**lane, state="idle", occurred_at=answer.occurred_at, last_answer=answer)
    )
    broker.append(answer)


def finish(broker: Broker, job: JobOfLife) -> None:
    """Every image has its outcome."""
    broker.append(
        e.JobFinished(
            customer_id=job.customer_id,
            job_id=job.job_id,
            images=job.images,
            delivered=len(job.delivered),
            failed=len(job.failed),
            cancelled=len(job.cancelled),
            occurred_at=broker.tick(),
        )
    )


def notify(broker: Broker, job: JobOfLife, failing: int) -> None:
    """Its submitter is told: so many attempts fail, and then one does not."""
    notice = NoticeRecorded(
        customer_id=job.customer_id,
        job_id=job.job_id,
        notice_id=f"n{job.job_id}",
        about="finished",
        state="pending",
        occurred_at=broker.tick(),
        notify_url="https://shop.example/hook",
    )
    broker.append(notice)
    for attempt in range(1, failing + 1):
        told: dict[str, Any] = {"attempts": attempt, "last_result": "5xx"}
        now = broker.tick()
        broker.append(replace(notice, **told, occurred_at=now, next_at=now + timedelta(minutes=1)))
    over: dict[str, Any] = {"state": "delivered", "attempts": failing + 1, "last_result": "2xx"}
    broker.append(replace(notice, **over, notify_url=UNSET, occurred_at=broker.tick()))


def live(broker: Broker, job: JobOfLife, seq: int = 1) -> int:
    """A whole life with two calls, the second of which loses an image. Returns the next free seq."""
    accept(broker, job)
    process(broker, job)
    settle(broker, job)
    good = [index for index in range(job.images) if index not in job.broken]
    half = set(good[: len(good) // 2])
    for images, lost in ((half, frozenset[int]()), (set(good) - half, frozenset(good[-1:]))):
        if images:
            call(broker, job, seq, images, lost)
            seq += 1
    finish(broker, job)
    notify(broker, job, failing=seq % 3)
    return seq


def interleaved(rng: random.Random, log: Log, again: float = 0.0) -> list[Record]:
    """All records in some order that keeps each partition's; with a chance to read the last few again."""
    places = dict.fromkeys(log, 0)
    order: list[Record] = []
    while places:
        at = rng.choice(list(places))
        begin = places[at]
        if rng.random() < again:
            begin = max(0, begin - rng.randrange(1, 6))
        end = min(len(log[at]), max(begin + rng.randrange(1, 6), places[at] + 1))
        order += log[at][begin:end]
        places[at] = end
        if end == len(log[at]):
            del places[at]
    return order
