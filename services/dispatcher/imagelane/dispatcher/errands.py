"""What the Kafka thread and the event loop hand each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from imagelane.contracts.events import CallCompleted, LaneRecorded, LaneTold
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.step import Answer, Pursuit


@dataclass(frozen=True, slots=True)
class Errand:
    """A step to be done for a lane. It counts only while the partition is ours in the same term."""

    partition: int
    term: int
    lane: LaneRecorded
    pursuit: Pursuit
    durable_at: float
    """When the record that the step stands on became durable, on the clock of `boot_seconds`."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """An errand has come to its end."""

    errand: Errand
    answer: Answer


@dataclass(frozen=True, slots=True)
class Restored:
    """The log of partitions was read to its end."""

    terms: dict[int, int]
    books: dict[int, Book]


Happening = StepDone | Restored


@dataclass(slots=True)
class Turned:
    """What follows from one turn. `again` are happenings that came to nothing and have to be handed in again."""

    to_restore: dict[int, int]
    told: list[tuple[CallCompleted | LaneTold, int]] = field(default_factory=list)
    errands: list[Errand] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    hinted: list[str] = field(default_factory=list)
    again: Sequence[Happening] = ()
    on_hold: bool = False
    """All lanes stand still: no attempt may begin."""
