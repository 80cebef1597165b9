"""A server as the schedule knows it: what waits for it, and how it is spared."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from imagelane.contracts.hosts import HostState
from imagelane.core.failures import Code
from imagelane.core.fairness import FairQueue
from imagelane.downloader.core.pace import HostPace
from imagelane.downloader.core.rates import Rate

NO_TURN: Final = -1
PROMISING: Final = 8

Work = TypeVar("Work")


@dataclass(frozen=True, slots=True)
class Sparing:
    """Why work at a server could go faster, and does not. `resumes_at` is of the schedule's clock."""

    state: HostState
    images_at_a_time: int
    resumes_at: float | None
    trouble: Code | None
    requests_per_second: float | None
    waiting: int


@dataclass(slots=True, eq=False)
class Host(Generic[Work]):
    """A server: its pace, and what waits for it."""

    pace: HostPace
    rate: Rate | None = None
    again: deque[tuple[Hashable, Work]] | None = None
    waiting: FairQueue[Work] = field(default_factory=FairQueue)
    trouble: Code | None = None
    delayed: int = 0
    ticket: int = NO_TURN
    is_ready: bool = False
    wakes_at: float = 0.0

    @property
    def has_work(self) -> bool:
        """Whether something waits that may start as soon as the server may."""
        return bool(self.again or self.waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for it, or is under way."""
        return not (self.has_work or self.delayed or self.pace.in_flight)

    @property
    def is_promising(self) -> bool:
        """Many images wait for it: a customer's ten good servers go before its thousands of odd ones."""
        return self.pace.is_new and len(self.waiting) >= PROMISING

    @property
    def customer(self) -> Hashable:
        """Whose work is next."""
        return self.again[0][0] if self.again else self.waiting.turn

    def by_customer(self) -> Iterator[tuple[Hashable, int]]:
        """How much waits, by customer; a customer may come more than once."""
        yield from self.waiting.lengths()
        yield from ((customer, 1) for customer, _ in self.again or ())

    @property
    def resumes_at(self) -> float:
        """When the next work may start, as far as pauses and its rate go."""
        at = self.pace.resumes_at
        return at if self.rate is None else max(at, self.rate.free_at)

    def may_start(self, now: float) -> bool:
        """Whether work may start now."""
        return self.has_work and self.pace.may_start(now) and now >= self.resumes_at

    def take(self) -> Work:
        """The next work. Raises `IndexError` where there is none."""
        return self.again.popleft()[1] if self.again else self.waiting.take()

    def sparing(self, now: float) -> Sparing | None:
        """How it is spared; None for a server that is not."""
        kept = self.pace.sparing(now)
        if kept is None and self.rate is None:
            return None
        return Sparing(
            state=kept or "rated",
            images_at_a_time=self.pace.limit,
            resumes_at=self.pace.resumes_at if self.pace.resumes_at > now else None,
            trouble=self.trouble,
            requests_per_second=None if self.rate is None else self.rate.requests_per_second,
            waiting=len(self.waiting) + len(self.again or ()) + self.delayed,
        )
