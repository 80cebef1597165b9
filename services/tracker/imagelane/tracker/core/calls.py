"""What is known of lanes and their calls. Of the dispatcher's log the last record counts, by its offset.

A log that a growth of the topics has moved to another partition goes on there with smaller offsets, so
`log_offset` is a `Place.age_in_log`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pyroaring import BitMap

from imagelane.tracker.core.joins import absorb_least

NEVER: Final = -1
"""The offset of a record that was not read yet."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A customer's lane, as a record of the log has it."""

    customer_id: str
    log_offset: int = NEVER
    state: str = "idle"
    last_seq: int = 0
    planned: int = 0
    changed_at: int | None = None
    hold_reason: str | None = None
    held_since: int | None = None
    usual_seconds: float | None = None
    usual_images: float | None = None
    overdue_since: int | None = None


def later(one: Lane, other: Lane) -> Lane:
    """The one that stands further on in the log."""
    return max(one, other, key=lambda lane: lane.log_offset)


@dataclass(frozen=True, slots=True)
class Pursuit:
    """How the dispatcher pursues a call, as a record of the log has it."""

    log_offset: int = NEVER
    state: str | None = None
    reference: str | None = None
    log_call_id: str | None = None
    attempts: int = 0
    ambiguous: bool = False
    planned: int | None = None
    planned_at: int | None = None
    first_attempt_at: int | None = None
    active_since: int | None = None
    hold_reason: str | None = None


@dataclass(slots=True)
class CallSets:
    """A job's images in a call. They only grow."""

    asked: BitMap = field(default_factory=BitMap)
    planned: BitMap = field(default_factory=BitMap)
    delivered: BitMap = field(default_factory=BitMap)
    failed: BitMap = field(default_factory=BitMap)
    returned: BitMap = field(default_factory=BitMap)

    def absorb(self, other: CallSets) -> None:
        """Adds what the other has."""
        self.asked |= other.asked
        self.planned |= other.planned
        self.delivered |= other.delivered
        self.failed |= other.failed
        self.returned |= other.returned


ANSWER: Final = (
    "requested_at",
    "status",
    "call_id",
    "images",
    "started_at",
    "ended_at",
    "decision",
    "decided_by",
)


@dataclass(slots=True)
class Call:
    """A call, or what some events have said about it. What it did (`status` …) is told once and for all."""

    customer_id: str
    seq: int
    requested_at: int | None = None
    pursuit: Pursuit = Pursuit()
    status: str | None = None
    call_id: str | None = None
    images: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    decision: str | None = None
    decided_by: str | None = None
    jobs: dict[int, CallSets] = field(default_factory=dict)

    def absorb(self, other: Call) -> None:
        """Adds what the other knows."""
        absorb_least(self, other, ANSWER)
        self.pursuit = max(self.pursuit, other.pursuit, key=lambda one: one.log_offset)
        for number, sets in other.jobs.items():
            self.jobs.setdefault(number, CallSets()).absorb(sets)
