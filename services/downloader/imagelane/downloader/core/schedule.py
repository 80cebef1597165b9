"""Which image is fetched next: servers take turns, each within its own pace, all within the slots.

Within a server's line its customers take turns, so that a shared server is shared fairly.

An image that waits, for its server or for its next try, holds no slot. Servers that have never
answered, or have failed lately, share a fifth of the slots, so that they cannot hold up the others.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final, Generic, TypeVar

from imagelane.core.failures import Code
from imagelane.core.fairness import FairQueue
from imagelane.downloader.core.pace import HostPace, PacePolicy, Throttling

STRANGERS_SHARE: Final = 5
MAX_IDLE_HOSTS: Final = 10_000
FORGOTTEN_AT_ONCE: Final = 8

Work = TypeVar("Work")


@dataclass(slots=True, eq=False)
class _Host(Generic[Work]):
    pace: HostPace
    again: deque[Work] = field(default_factory=deque)
    waiting: FairQueue[Work] = field(default_factory=FairQueue)
    trouble: Code = Code.UNREACHABLE
    delayed: int = 0
    in_turn: bool = False
    wakes_at: float = 0.0

    @property
    def has_work(self) -> bool:
        return bool(self.again or self.waiting)

    @property
    def is_idle(self) -> bool:
        return not (self.has_work or self.delayed or self.pace.in_flight)

    def take(self) -> Work:
        return self.again.popleft() if self.again else self.waiting.take()


@dataclass(slots=True, eq=False)
class Start(Generic[Work]):
    """Work that has a slot, until `answered`, `troubled` or `released` gives the slot back."""

    work: Work
    server: str
    started_at: float
    host: _Host[Work] = field(repr=False)
    as_stranger: bool


class HostSchedule(Generic[Work]):
    """The waiting work of every server. All times are of one monotonic clock, in seconds."""

    def __init__(self, slots: int, policy: PacePolicy) -> None:
        self._slots = slots
        self._stranger_slots = max(1, slots // STRANGERS_SHARE)
        self._policy = policy
        self._hosts: dict[str, _Host[Work]] = {}
        self._strangers: deque[tuple[str, _Host[Work]]] = deque()
        self._known: deque[tuple[str, _Host[Work]]] = deque()
        self._strangers_in_flight = 0
        self._alarms: list[tuple[float, int, str, _Host[Work], list[Work]]] = []
        self._numbers = count()
        self.in_flight = 0
        self.waiting = 0
        self.throttling = Throttling()

    @property
    def has_free_slot(self) -> bool:
        """Whether something could start, if its server allowed it."""
        return self.in_flight < self._slots

    @property
    def servers(self) -> int:
        """How many servers are remembered."""
        return len(self._hosts)

    def put(self, server: str, customer: str, work: Work, now: float) -> None:
        """Adds work at the end of its customer's line at the server."""
        host = self._host(server)
        host.waiting.put(customer, work)
        self.waiting += 1
        self._enrol(server, host, now)

    def put_later(self, server: str, work: Work, due: float) -> None:
        """Adds work that goes before all others at the server once it is due."""
        host = self._host(server)
        host.delayed += 1
        self.waiting += 1
        self._alarm(due, server, host, [work])

    def next(self, now: float) -> Start[Work] | None:
        """The next work with a slot taken for it, or None if nothing can start now."""
        self._ring_alarms(now)
        if not self.has_free_slot:
            return None
        # Strangers once more at the end: a known server may turn out to have become one.
        for turns in (self._strangers, self._known, self._strangers):
            start = self._next_of(turns, now)
            if start is not None:
                return start
        return None

    def wakes_at(self) -> float | None:
        """When `next` may have something that it has not now, though nothing was told meanwhile."""
        return self._alarms[0][0] if self._alarms else None

    def answered(self, start: Start[Work], now: float, answer_seconds: float | None) -> None:
        """The server answered, in the time to its first byte where that was measured."""
        start.host.pace.answered(start.started_at, now, answer_seconds)
        self.released(start, now)

    def troubled(
        self, start: Start[Work], now: float, code: Code, retry_after_seconds: float | None
    ) -> None:
        """The server failed in a way that may pass."""
        start.host.trouble = code
        start.host.pace.troubled(start.started_at, now, retry_after_seconds)
        self.released(start, now)

    def released(self, start: Start[Work], now: float) -> None:
        """The work ended without a word about its server."""
        start.host.pace.in_flight -= 1
        self.in_flight -= 1
        self._strangers_in_flight -= start.as_stranger
        self._enrol(start.server, start.host, now)

    def abandoned(self, server: str, now: float) -> list[tuple[Work, Code]]:
        """Takes out what waits for a server that has failed beyond patience, with its last trouble.

        Nothing when one work may start, as a probe.
        """
        host = self._hosts.get(server)
        if host is None or not host.pace.is_hopeless(now) or host.pace.may_start(now):
            return []
        given_up = []
        while host.has_work:
            given_up.append((host.take(), host.trouble))
        self.waiting -= len(given_up)
        return given_up

    def _host(self, server: str) -> _Host[Work]:
        host = self._hosts.get(server)
        if host is None:
            if len(self._hosts) >= MAX_IDLE_HOSTS:
                self._forget_some()
            host = self._hosts[server] = _Host(HostPace(self._policy, self.throttling))
        return host

    def _forget_some(self) -> None:
        for server, host in list(islice(self._hosts.items(), FORGOTTEN_AT_ONCE)):
            del self._hosts[server]
            if not host.is_idle:
                self._hosts[server] = host  # to the end: others are looked at next time

    def _enrol(self, server: str, host: _Host[Work], now: float) -> None:
        """Gives the server a turn if it may start something, an alarm if it only has to wait."""
        pace = host.pace
        if host.in_turn or not host.has_work or pace.in_flight >= pace.limit:
            return
        if now >= pace.resumes_at:
            host.in_turn = True
            (self._strangers if pace.is_stranger else self._known).append((server, host))
        elif host.wakes_at != pace.resumes_at:
            host.wakes_at = pace.resumes_at
            self._alarm(pace.resumes_at, server, host, [])

    def _alarm(self, due: float, server: str, host: _Host[Work], work: list[Work]) -> None:
        heapq.heappush(self._alarms, (due, next(self._numbers), server, host, work))

    def _ring_alarms(self, now: float) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            _, _, server, host, work = heapq.heappop(self._alarms)
            host.delayed -= len(work)
            host.again.extend(work)
            self._enrol(server, host, now)

    def _next_of(self, turns: deque[tuple[str, _Host[Work]]], now: float) -> Start[Work] | None:
        if turns is self._strangers and self._strangers_in_flight >= self._stranger_slots:
            return None
        while turns:
            server, host = turns.popleft()
            host.in_turn = False
            as_stranger = host.pace.is_stranger
            if (
                as_stranger is (turns is self._strangers)
                and host.has_work
                and host.pace.may_start(now)
            ):
                return self._start(server, host, now)
            self._enrol(server, host, now)  # it has changed since: elsewhere, later, or never
        return None

    def _start(self, server: str, host: _Host[Work], now: float) -> Start[Work]:
        start = Start(host.take(), server, now, host, host.pace.is_stranger)
        self.waiting -= 1
        self.in_flight += 1
        self._strangers_in_flight += start.as_stranger
        host.pace.in_flight += 1
        self._enrol(server, host, now)
        return start
