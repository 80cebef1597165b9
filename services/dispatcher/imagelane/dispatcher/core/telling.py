"""What the batcher is told: what a call did, or the truth about a lane."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from imagelane.contracts.codec import encode
from imagelane.contracts.events import CallCompleted, LaneRecorded, LaneTold
from imagelane.contracts.parts import JobOutcome
from imagelane.dispatcher.core.lane import is_busy

MAX_RECORD_BYTES: Final = 900_000
"""Kafka takes a megabyte; the rest is for headers and for what is added to a lane later."""


def truth(
    lane: LaneRecorded,
    job_ids: Iterable[str],
    outcome: Callable[[str], JobOutcome],
    now: datetime,
) -> list[LaneTold]:
    """One record for each named job, with the whole of its outcome."""
    return [
        LaneTold(
            customer_id=lane.customer_id,
            last_seq=lane.last_seq,
            busy=is_busy(lane),
            occurred_at=now,
            job=outcome(job_id),
        )
        for job_id in dict.fromkeys(job_ids)
    ]


def closing(lane: LaneRecorded, seq: int, now: datetime) -> LaneTold:
    """The last record of the truth: the request `seq` is answered with it."""
    return LaneTold(
        customer_id=lane.customer_id,
        last_seq=lane.last_seq,
        busy=is_busy(lane),
        occurred_at=now,
        answers=seq,
    )


def in_records(answer: CallCompleted) -> Iterator[CallCompleted]:
    """The answer in parts that Kafka takes: whoever folds them by union has the whole."""
    part: list[JobOutcome] = []
    used = 0
    room = MAX_RECORD_BYTES - len(encode(replace(answer, jobs=[])))
    for job in answer.jobs:
        size = _bytes_of(job)
        if part and used + size > room:
            yield replace(answer, jobs=part)
            part, used = [], 0
        part.append(job)
        used += size
    yield replace(answer, jobs=part)


def without_large_answer(lane: LaneRecorded) -> LaneRecorded:
    """The record, without its last answer if that is too large: then only the truth is told again."""
    fits = len(encode(lane)) <= MAX_RECORD_BYTES
    return lane if fits else replace(lane, last_answer=UNSET)


def _bytes_of(job: JobOutcome) -> int:
    sets = (job.delivered, job.failed, job.cancelled, job.returned)
    return 200 + sum(200 + len(one.bitmap) for one in sets if one is not UNSET)
