"""Which image is fetched next: customers take turns, and so do each one's servers, within their pace.

Within a server's line its customers take turns, so that a shared server is shared fairly.

An image that waits, for its server or for its next try, holds no slot. Servers that have never
answered, or have failed lately, are strangers: they share a fifth of all slots, which nobody else
uses, so that they cannot hold up the others. Nor can a known server that suddenly stalls: while
another one could start something, it holds no more than half of the slots.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Final, Generic, TypeVar

from imagelane.core.failures import Code
from imagelane.core.fairness import FairQueue
from imagelane.downloader.core.hosts import NO_TURN, PROMISING, Host, Sparing
from imagelane.downloader.core.pace import HostPace, PacePolicy, Throttling
from imagelane.downloader.core.rates import Rate

STRANGERS_SHARE: Final = 4  # of the slots for known servers: a fifth of them all
MAX_IDLE_HOSTS: Final = 10_000
FORGOTTEN_AT_ONCE: Final = 8

Work = TypeVar("Work")


@dataclass(slots=True, eq=False)
class Start(Generic[Work]):
    """Work that has a slot, until `answered`, `troubled` or `released` gives the slot back."""

    work: Work
    server: str
    started_at: float
    host: Host[Work] = field(repr=False)
    as_stranger: bool


class HostSchedule(Generic[Work]):
    """The waiting work of every server. All times are of one monotonic clock, in seconds."""

    def __init__(
        self, slots: int, policy: PacePolicy, rates: Mapping[str, float] | None = None
    ) -> None:
        """`slots` are those of known servers. `rates` are requests a second, by server."""
        self._slots = slots
        self._rates = rates or {}
        self._stranger_slots = max(1, slots // STRANGERS_SHARE)
        self._policy = policy
        self._hosts: dict[str, Host[Work]] = {}
        self._spared: dict[str, Host[Work]] = {}
        self._strangers: FairQueue[tuple[str, Host[Work], int]] = FairQueue()
        self._known: FairQueue[tuple[str, Host[Work], int]] = FairQueue()
        self._strangers_in_flight = 0
        self._alarms: list[tuple[float, int, str, Host[Work], tuple[Hashable, Work] | None]] = []
        self._numbers = count()
        self.in_flight = 0
        self.waiting = 0
        self.throttling = Throttling()
        self.ready: dict[Hashable, int] = {}
        """How much waits for known servers only, by customer."""

    @property
    def has_free_slot(self) -> bool:
        """Whether something could start at a known server, if that allowed it."""
        return self.in_flight - self._strangers_in_flight < self._slots

    @property
    def servers(self) -> int:
        """How many servers are remembered."""
        return len(self._hosts)

    def put(self, server: str, customer: str, work: Work, now: float) -> None:
        """Adds work at the end of its customer's line at the server."""
        host = self._host(server)
        host.waiting.put(customer, work)
        self._count(host, customer, 1)
        self.waiting += 1
        if len(host.waiting) == PROMISING and host.pace.is_new:
            host.ticket = NO_TURN  # a better turn than the one that it had
        self._enrol(server, host, now)

    def put_later(self, server: str, customer: str, work: Work, due: float) -> None:
        """Adds work that goes before all others at the server once it is due."""
        host = self._host(server)
        host.delayed += 1
        self.waiting += 1
        self._alarm(due, server, host, (customer, work))

    def next(self, now: float) -> Start[Work] | None:
        """The next work with a slot taken for it, or None if nothing can start now."""
        self._ring_alarms(now)
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
        host = start.host
        was_stranger = host.pace.is_stranger
        host.pace.answered(start.started_at, now, answer_seconds)
        if was_stranger and not host.pace.is_stranger:
            host.ticket = NO_TURN  # among the strangers, it would wait behind thousands that stall
        self._recount(host)
        if host.pace.is_slowed:
            self._spared[start.server] = host
        self.released(start, now)

    def troubled(
        self, start: Start[Work], now: float, code: Code, retry_after_seconds: float | None
    ) -> None:
        """The server failed in a way that may pass."""
        start.host.trouble = code
        self._spared[start.server] = start.host
        start.host.pace.troubled(start.started_at, now, retry_after_seconds)
        self._recount(start.host)
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
            self._count(host, host.customer, -1)
            given_up.append((host.take(), host.trouble or Code.UNREACHABLE))
        self.waiting -= len(given_up)
        return given_up

    def spared(self, now: float) -> dict[str, Sparing]:
        """Servers for which something waits that could go faster. Looks at each one that is spared."""
        found = {}
        for server, host in list(self._spared.items()):
            sparing = host.sparing(now)
            if sparing is None:
                del self._spared[server]
            elif sparing.waiting:
                found[server] = sparing
        return found

    def _count(self, host: Host[Work], customer: Hashable, more: int) -> None:
        if host.is_ready:
            count = self.ready.pop(customer, 0) + more
            if count:
                self.ready[customer] = count

    def _recount(self, host: Host[Work]) -> None:
        """After what a server did: it may have become known, or a stranger."""
        if host.is_ready is host.pace.is_stranger:
            more = 1 if host.pace.is_stranger is False else -1
            host.is_ready = True
            for customer, count in host.by_customer():
                self._count(host, customer, count * more)
            host.is_ready = more > 0

    def _host(self, server: str) -> Host[Work]:
        host = self._hosts.get(server)
        if host is None:
            if len(self._hosts) >= MAX_IDLE_HOSTS:
                self._forget_some()
            per_second = self._rates.get(server)
            host = self._hosts[server] = Host(
                HostPace(self._policy, self.throttling), Rate(per_second) if per_second else None
            )
            if per_second:
                self._spared[server] = host
        return host

    def _forget_some(self) -> None:
        for server, host in list(islice(self._hosts.items(), FORGOTTEN_AT_ONCE)):
            del self._hosts[server]
            if host.is_idle:
                self._spared.pop(server, None)
            else:
                self._hosts[server] = host  # to the end: others are looked at next time

    def _enrol(self, server: str, host: Host[Work], now: float) -> None:
        """Gives the server a turn if it may start something, an alarm if it only has to wait."""
        pace = host.pace
        if host.ticket != NO_TURN or not host.has_work or pace.in_flight >= pace.limit:
            return
        resumes_at = host.resumes_at
        if now >= resumes_at:
            host.ticket = next(self._numbers)
            turns = self._strangers if pace.is_stranger else self._known
            put = turns.put_first if host.is_promising else turns.put
            put(host.customer, (server, host, host.ticket))
        elif host.wakes_at != resumes_at:
            host.wakes_at = resumes_at
            self._alarm(resumes_at, server, host, None)

    def _alarm(
        self, due: float, server: str, host: Host[Work], work: tuple[Hashable, Work] | None
    ) -> None:
        heapq.heappush(self._alarms, (due, next(self._numbers), server, host, work))

    def _ring_alarms(self, now: float) -> None:
        while self._alarms and self._alarms[0][0] <= now:
            _, _, server, host, work = heapq.heappop(self._alarms)
            if work is not None:
                host.delayed -= 1
                host.again = host.again or deque()
                host.again.append(work)
                self._count(host, work[0], 1)
            self._enrol(server, host, now)

    def _next_of(
        self, turns: FairQueue[tuple[str, Host[Work], int]], now: float
    ) -> Start[Work] | None:
        is_full = (
            self._strangers_in_flight >= self._stranger_slots
            if turns is self._strangers
            else not self.has_free_slot
        )
        if is_full:
            return None
        crowding: tuple[str, Host[Work]] | None = None
        found: tuple[str, Host[Work]] | None = None
        while turns and found is None:
            server, host, ticket = turns.take()
            if ticket != host.ticket:
                continue  # it has got another turn since
            host.ticket = NO_TURN
            belongs_here = host.pace.is_stranger is (turns is self._strangers)
            if not belongs_here or not host.may_start(now):
                self._enrol(server, host, now)  # it has changed since: elsewhere, later, or never
            elif turns and crowding is None and host.pace.in_flight * 2 >= self._slots:
                crowding = (server, host)
            else:
                found = (server, host)
        if found is None:
            found, crowding = crowding, None
        if crowding is not None:
            self._enrol(*crowding, now)
        return None if found is None else self._start(*found, now)

    def _start(self, server: str, host: Host[Work], now: float) -> Start[Work]:
        self._count(host, host.customer, -1)
        start = Start(host.take(), server, now, host, host.pace.is_stranger)
        self.waiting -= 1
        self.in_flight += 1
        self._strangers_in_flight += start.as_stranger
        host.pace.in_flight += 1
        if host.rate is not None:
            host.rate.started(now)
        self._enrol(server, host, now)
        return start
