"""The order of what a partition delivers. Faust was seen to skip records after double rebalances."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of an input, by the topic's name on the broker."""

    topic: str
    partition: int


class Verdict(Enum):
    """How a record stands to those before it."""

    NEXT = auto()
    REPEAT = auto()
    AHEAD = auto()
    """Records before it are missing: it must be neither processed nor acknowledged."""
    FOREIGN = auto()
    """It lies before the place where reading began: these are not the records that were committed."""


class OrderGuard:
    """Lets each partition's records through one by one, from the offsets where reading begins."""

    def __init__(self, first: Mapping[Place, int]) -> None:
        self._first = dict(first)
        self._next = dict(first)
        self._ahead_since: dict[Place, float] = {}

    @property
    def positions(self) -> dict[Place, int]:
        """The next offset of every partition."""
        return dict(self._next)

    def judge(self, place: Place, offset: int, now_seconds: float) -> Verdict:
        """How this record stands; `NEXT` moves the position on."""
        expected = self._next[place]
        if offset == expected:
            self._next[place] = expected + 1
            self._ahead_since.pop(place, None)
            return Verdict.NEXT
        if offset > expected:
            self._ahead_since.setdefault(place, now_seconds)
            return Verdict.AHEAD
        return Verdict.REPEAT if offset >= self._first[place] else Verdict.FOREIGN

    def overdue(self, now_seconds: float, patience_seconds: float) -> Place | None:
        """A partition whose next record was skipped, and has not come for so long."""
        for place, since in self._ahead_since.items():
            if now_seconds - since >= patience_seconds:
                return place
        return None
