"""What is known of a job: whatever its events said, in whatever order they came."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from pyroaring import BitMap

from imagelane.tracker.core.joins import absorb_greatest, absorb_least, least
from imagelane.tracking.steps import Kind

SETS: Final = (
    "requested",
    "downloaded",
    "processed",
    "made",
    "delivered",
    "failed",
    "cancelled",
)
LEAST: Final = (
    "recipe",
    "destination",
    "base_url",
    "idempotency_key",
    "notify_url",
    "deadline",
    "handed_in_at",
    "accepted_at",
    "sealed_at",
    "finished_at",
    "cut_short_by",
    "first_at",
)
GREATEST: Final = ("images", "told_delivered", "told_failed", "told_cancelled", "last_at")


@lru_cache(maxsize=10_000)
def number_of(job_id: str) -> int:
    """The number under which the tables know a job: 63 of the 160 bits of its id."""
    return int.from_bytes(base64.b32decode(job_id.upper())[:8], "big") >> 1


@dataclass(slots=True)
class Sets:
    """Images of a job by what has happened to them. They only grow."""

    requested: BitMap = field(default_factory=BitMap)
    downloaded: BitMap = field(default_factory=BitMap)
    processed: BitMap = field(default_factory=BitMap)
    made: BitMap = field(default_factory=BitMap)
    delivered: BitMap = field(default_factory=BitMap)
    failed: BitMap = field(default_factory=BitMap)
    cancelled: BitMap = field(default_factory=BitMap)

    @property
    def seen(self) -> BitMap:
        """The images of which an event of their own was read: they have a row."""
        return self.requested | self.downloaded | self.processed

    @property
    def decided(self) -> BitMap:
        """The images that have an outcome."""
        return self.delivered | self.failed | self.cancelled

    def absorb(self, other: Sets) -> None:
        """Adds what the other has."""
        for name in SETS:
            mine: BitMap = getattr(self, name)
            mine |= getattr(other, name)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a list did not become a job; the first one counts."""

    at: int
    code: str
    reason: str


class Notice(NamedTuple):
    """How far a notice has come. Of two the greater is the later one: by its event, its end, its attempts."""

    about: Literal["finished", "refused"]
    is_over: bool
    attempts: int
    at: int
    state: str
    result: str | None
    next_at: int | None

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """What two of them are compared by."""
        return self.about == "finished", self.is_over, self.attempts, self.at


@dataclass(frozen=True, slots=True, order=True)
class Outcomes:
    """A record of the dispatcher's log about the job: the whole of its outcomes at the time."""

    partition: int
    offset: int
    at: int
    delivered: BitMap = field(compare=False)
    failed: BitMap = field(compare=False)
    cancelled: BitMap = field(compare=False)


@dataclass(slots=True)
class Job:
    """A job, or what some events have said about it."""

    number: int
    job_id: str
    customer_id: str
    recipe: str | None = None
    destination: str | None = None
    base_url: str | None = None
    images: int | None = None
    idempotency_key: str | None = None
    notify_url: str | None = None
    deadline: int | None = None
    handed_in_at: int | None = None
    accepted_at: int | None = None
    sealed_at: int | None = None
    finished_at: int | None = None
    refusal: Refusal | None = None
    cut_short_by: Literal["cancel", "delete", "deadline"] | None = None
    told_delivered: int | None = None
    told_failed: int | None = None
    told_cancelled: int | None = None
    first_at: int | None = None
    last_at: int | None = None
    notice: Notice | None = None
    sets: Sets = field(default_factory=Sets)
    met: dict[str, BitMap] = field(default_factory=dict)
    """Images by the failure that they met on the road."""
    recorded: list[Outcomes] = field(default_factory=list)
    """What the dispatcher's log has said since the job was read from the database."""

    def happened(self, at: int) -> None:
        """An event of the job says that it is of then."""
        if self.first_at is None or at < self.first_at:
            self.first_at = at
        if self.last_at is None or at > self.last_at:
            self.last_at = at

    def absorb(self, other: Job) -> None:
        """Adds what the other knows; its records of the log stay to be told by `new_outcomes`."""
        absorb_least(self, other, LEAST)
        absorb_greatest(self, other, GREATEST)
        if self.refusal is None or other.refusal is None:
            self.refusal = self.refusal or other.refusal
        else:
            self.refusal = min(self.refusal, other.refusal, key=lambda one: (one.at, one.code))
        if self.notice is None or other.notice is None:
            self.notice = self.notice or other.notice
        else:
            self.notice = max(self.notice, other.notice, key=lambda one: one.rank)
        self.sets.absorb(other.sets)
        for code, images in other.met.items():
            self.met[code] = self.met.get(code, BitMap()) | images
        self.recorded += other.recorded

    def new_outcomes(self) -> Iterator[tuple[Kind, Outcomes, BitMap]]:
        """Takes the records of the log in, in its order, and tells which images each one has decided.

        The first outcome of an image counts, so a record that was read before decides nothing more.
        """
        for record in sorted(self.recorded):
            for kind, name in _RECORDED:
                known: BitMap = getattr(self.sets, name)
                fresh = getattr(record, name) - self.sets.decided
                if fresh:
                    known |= fresh
                    yield kind, record, fresh
        self.recorded = []

    @property
    def ready(self) -> int:
        """How many images have results and no outcome: they wait for a call, or are in one."""
        return len(self.sets.made - self.sets.decided)

    @property
    def refused(self) -> Refusal | None:
        """Why the job never was one. Refusing a second list under its key does not end a running job."""
        begun = least(self.accepted_at, self.sealed_at) is not None or bool(self.sets.seen)
        return None if begun else self.refusal

    def failed_by_code(self) -> dict[str, int]:
        """How many of the failed images met each code on the road. The others have failed in their call.

        An image that met several (at least once is the road's law) counts under the first of them in
        the alphabet.
        """
        left = BitMap(self.sets.failed)
        counts = {}
        for code in sorted(self.met):
            counts[code] = left.intersection_cardinality(self.met[code])
            left -= self.met[code]
        return counts


_RECORDED: Final = (
    (Kind.RECORDED_DELIVERED, "delivered"),
    (Kind.RECORDED_FAILED, "failed"),
    (Kind.RECORDED_CANCELLED, "cancelled"),
)
