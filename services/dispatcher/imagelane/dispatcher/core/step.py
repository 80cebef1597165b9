"""The step that is under way for a lane, and what may follow from its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core import answers as a


class Kind(StrEnum):
    """What is done when a step's wait is over."""

    ATTEMPT = "attempt"
    """Write the next attempt to the log; only then comes the `SEND`."""
    SEND = "send"
    FIND = "find"
    """Ask for our call by its reference."""
    LOOK = "look"
    """Ask how our call stands."""
    WATCH = "watch"
    """Ask whether somebody else's call of this customer still runs."""


@dataclass(frozen=True, slots=True)
class Pursuit:
    """The one step that is under way for a lane, and what its worker remembers.

    `failures`: steps in a row that brought nothing. `searches`: searches since the last attempt that
    found nothing. `in_doubt`: the last attempt's fate is not known. `foreign`: whose end is awaited.
    """

    kind: Kind
    after_seconds: float = 0.0
    failures: int = 0
    searches: int = 0
    in_doubt: bool = False
    foreign: str = ""


Answer = a.StartAnswer | a.LookAnswer | None
"""How a step ended; None for the wait before an attempt."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an answer: a record to write first, then a step, or the plan's end.

    Neither step nor end: a person must decide.
    """

    pursuit: Pursuit | None = None
    lane: LaneRecorded | None = None
    end: a.Call | a.Refused | None = None
