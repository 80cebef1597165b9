"""What a batch of records has changed, before it is joined with what the database knows already."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from msgspec import UNSET, UnsetType

from imagelane.tracker.core.calls import Call, Lane, later
from imagelane.tracker.core.jobs import Job, number_of

Row = dict[str, Any]
MAX_NUMBER: Final = 2**31 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class OutOfRangeError(ValueError):
    """An event holds a number that no part of Imagelane could have meant."""


OFFSET_BITS: Final = 44
"""More than any partition will have, and room for half a million partitions below 2^63."""


class Place(NamedTuple):
    """Where a record stands. `topic` is without a deployment's prefix."""

    topic: str
    partition: int
    offset: int
    partitions: int = 0
    """How many the topic has, where the record's key belongs on this one; else 0: a growth has left it behind."""

    @property
    def age_in_log(self) -> int:
        """Grows along a key's records, also where `imagelane topics migrate` has moved them to another partition."""
        return self.partitions << OFFSET_BITS | self.offset


def milliseconds(at: datetime) -> int:
    """As the tables hold times: since 1970, in UTC."""
    return (at - _EPOCH) // _MILLISECOND


def moment(at: datetime | UnsetType) -> int | None:
    """The same for a time that may not be told."""
    return None if at is UNSET else (at - _EPOCH) // _MILLISECOND


def plain(text: str) -> str:
    """Without what PostgreSQL has no place for in a text."""
    return text.replace("\0", "\ufffd")


def known(text: str | UnsetType) -> str | None:
    """What may not be told, as the tables hold it."""
    return None if text is UNSET else text.replace("\0", "\ufffd")


def held(number: int) -> int:
    """The number, if a column has room for it. Raises `OutOfRangeError`."""
    if number > MAX_NUMBER:
        raise OutOfRangeError(f"{number} is larger than anything that is counted here")
    return number


@dataclass(slots=True)
class Changes:
    """Everything in it may be joined in any order, and twice. Steps and images are rows already."""

    jobs: dict[str, Job] = field(default_factory=dict)
    images: dict[tuple[int, int], Row] = field(default_factory=dict)
    image_steps: list[Row] = field(default_factory=list)
    job_steps: list[Row] = field(default_factory=list)
    lanes: dict[str, Lane] = field(default_factory=dict)
    calls: dict[tuple[str, int], Call] = field(default_factory=dict)
    call_steps: list[Row] = field(default_factory=list)
    commands: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    hosts: dict[tuple[str, str], Row] = field(default_factory=dict)

    def job(self, customer_id: str, job_id: str, at: int) -> Job:
        """The job to note something on that was of then."""
        job = self.jobs.get(job_id)
        if job is None:
            job = self.jobs[job_id] = Job(number_of(job_id), job_id, customer_id)
            self.lane(Lane(customer_id))
        job.happened(at)
        return job

    def lane(self, lane: Lane) -> None:
        """Notes a state of a lane."""
        have = self.lanes.get(lane.customer_id)
        self.lanes[lane.customer_id] = lane if have is None else later(have, lane)

    def call(self, call: Call) -> None:
        """Notes what is known of a call, its images included."""
        have = self.calls.setdefault((call.customer_id, call.seq), call)
        if have is not call:
            have.absorb(call)
