"""What the table holds, and under which keys.

A job is kept as *parts*: each record says something of it, the job is their union, and no key is ever
written by two processes. So neither a process that lost the partition and writes on, nor compaction,
can take away what another one wrote. Parts that a newer one repeats as a whole are removed later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from pyroaring import BitMap

from imagelane.batcher.core.job import Fresh, Job
from imagelane.batcher.core.job_life import CutReason
from imagelane.batcher.core.lane import FinishedJob
from imagelane.contracts.events import BatchRequested, JobFinished
from imagelane.contracts.image_sets import pack_some, unpack
from imagelane.contracts.parts import ImageSet
from imagelane.core.partitioning import partition_of


class JobPart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something of a job. `ready` images were processed, `broken` ones failed on the road."""

    seen_at: datetime
    recipe: str | UnsetType = UNSET
    destination: str | UnsetType = UNSET
    images: int | UnsetType = UNSET
    handed_in_at: datetime | UnsetType = UNSET
    deadline: datetime | UnsetType = UNSET
    cut_short_by: CutReason | UnsetType = UNSET
    rounds: int = 0
    ready: ImageSet | UnsetType = UNSET
    broken: ImageSet | UnsetType = UNSET
    delivered: ImageSet | UnsetType = UNSET
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET
    finished: JobFinished | UnsetType = UNSET
    """The job is over, and this is what is told of it: nothing else of the job matters any more."""
    told: bool = False
    """It has been told."""


class LaneRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a lane stands. The newest record of a lane counts; an older one only costs a question."""

    last_seq: int
    request: BatchRequested | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class OrderPart(Struct, frozen=True, kw_only=True):
    """A person's decision about the customer's jobs. Of several records the latest `until` counts."""

    reason: CutReason
    until: datetime


class TableFound(Struct, frozen=True, kw_only=True):
    """The partition's table has existed since then: without it, it was lost, or is new."""

    since: datetime


@dataclass(frozen=True, slots=True)
class LaneKey:
    """Whose lane a record is."""

    customer_id: str


@dataclass(frozen=True, slots=True)
class JobKey:
    """Whose job a part belongs to."""

    customer_id: str
    job_id: str


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Whose jobs an order is about."""

    customer_id: str


_encode = msgspec.json.Encoder().encode
_part_decoder: Final = msgspec.json.Decoder(JobPart)
_lane_decoder: Final = msgspec.json.Decoder(LaneRecord)
_order_decoder: Final = msgspec.json.Decoder(OrderPart)

Record = JobPart | LaneRecord | OrderPart | TableFound


def encode(record: Record) -> bytes:
    """One line of JSON."""
    return _encode(record)


def decode_part(value: bytes) -> JobPart:
    """Raises `msgspec.MsgspecError`: a table that this version cannot read is nothing to guess at."""
    return _part_decoder.decode(value)


def decode_lane(value: bytes) -> LaneRecord:
    """Raises `msgspec.MsgspecError`."""
    return _lane_decoder.decode(value)


def decode_order(value: bytes) -> OrderPart:
    """Raises `msgspec.MsgspecError`."""
    return _order_decoder.decode(value)


def lane_key(customer_id: str) -> bytes:
    """`lane/<customer>`."""
    return f"lane/{customer_id}".encode()


def job_key(customer_id: str, job_id: str, writer: str, number: int) -> bytes:
    """`job/<customer>/<job>/<writer>-<number>`; `writer` names one opening of one process's gate."""
    return f"job/{customer_id}/{job_id}/{writer}-{number}".encode()


def order_key(customer_id: str, writer: str, number: int) -> bytes:
    """`order/<customer>/<writer>-<number>`."""
    return f"order/{customer_id}/{writer}-{number}".encode()


def table_key(partition: int) -> bytes:
    """`table/<partition>`."""
    return f"table/{partition}".encode()


def parse_key(key: bytes) -> LaneKey | JobKey | OrderKey | None:
    """Whose record it is; None for `table/…`. A customer ID may contain slashes, what follows it not."""
    kind, _, rest = key.decode().partition("/")
    if kind == "lane":
        return LaneKey(rest)
    if kind == "job":
        customer_id, job_id, _ = rest.rsplit("/", 2)
        return JobKey(customer_id, job_id)
    if kind == "order":
        return OrderKey(rest.rpartition("/")[0])
    return None


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition that a record belongs to."""
    owner = parse_key(key)
    if owner is None:
        return int(key.rpartition(b"/")[2])
    return partition_of(owner.customer_id.encode(), partitions)


def fresh_part(job: Job) -> JobPart:
    """What the table does not have of the job yet."""
    return _part(job, job.fresh)


def whole_part(job: Job) -> JobPart:
    """Everything that is known of the job."""
    everything = Fresh(
        ready=job.ready | job.held | job.void,
        broken=job.broken,
        delivered=job.delivered,
        failed=job.failed,
        cancelled=job.cancelled,
    )
    return _part(job, everything)


def _part(job: Job, said: Fresh) -> JobPart:
    return JobPart(
        seen_at=job.seen_at,
        recipe=UNSET if job.recipe is None else job.recipe,
        destination=UNSET if job.destination is None else job.destination,
        images=UNSET if job.images is None else job.images,
        handed_in_at=UNSET if job.handed_in_at is None else job.handed_in_at,
        deadline=UNSET if job.deadline is None else job.deadline,
        cut_short_by=UNSET if job.cut_short_by is None else job.cut_short_by,
        rounds=job.rounds,
        ready=pack_some(said.ready),
        broken=pack_some(said.broken),
        delivered=pack_some(said.delivered),
        failed=pack_some(said.failed),
        cancelled=pack_some(said.cancelled),
    )


@dataclass(slots=True)
class Parts:
    """The parts of one job, as they are found in the table."""

    job_id: str
    found: list[tuple[bytes, JobPart]] = field(default_factory=list)

    def finished(self) -> FinishedJob | None:
        """The marker of a job that is over: the one that says that it was told, if there is one."""
        markers = [
            FinishedJob(part.finished, [key], state="told" if part.told else "finished")
            for key, part in self.found
            if part.finished is not UNSET
        ]
        return max(markers, key=lambda marker: marker.is_told, default=None)

    @property
    def keys(self) -> list[bytes]:
        """Under which keys they stand."""
        return [key for key, _ in self.found]

    def union(self, requested: Job | None) -> Job:
        """The unfinished job. `requested` is what the lane's open request says of it."""
        parts = [part for _, part in self.found]
        job = Job(self.job_id, min(part.seen_at for part in parts), keys=self.keys)
        job.rounds = max(part.rounds for part in parts)
        job.delivered = _union(part.delivered for part in parts)
        job.failed = _union(part.failed for part in parts) - job.delivered
        job.cancelled = _union(part.cancelled for part in parts) - job.delivered - job.failed
        ready = _union(part.ready for part in parts)
        if requested:
            job.held = requested.held - job.decided
            job.fresh.ready = job.held - ready
        job.ready = ready - job.decided - job.held
        job.broken = _union(part.broken for part in parts) - job.decided - job.held - job.ready
        job.known = job.decided | job.held | job.ready | job.broken
        if requested:
            job.learn(str(requested.recipe), str(requested.destination))
        for part in parts:
            _tell(part, job)
        job.fresh.facts = False
        return job


def _tell(part: JobPart, job: Job) -> None:
    if part.recipe is not UNSET and part.destination is not UNSET:
        job.learn(part.recipe, part.destination, None if part.images is UNSET else part.images)
    job.date(
        None if part.handed_in_at is UNSET else part.handed_in_at,
        None if part.deadline is UNSET else part.deadline,
    )
    if part.cut_short_by is not UNSET:
        job.cut(part.cut_short_by)


def _union(sets: Iterable[ImageSet | UnsetType]) -> BitMap:
    return BitMap.union(BitMap(), *map(unpack, sets))
