"""A member of a consumer group, watched: what it knows of itself beside what the broker says of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from imagelane.core.health import (
    IDLE_SECONDS,
    BrokerView,
    MemberState,
    MemberWatch,
    Place,
    waiting,
)
from imagelane.platform import metrics_group as metrics
from imagelane.platform.lag import LagUnknownError

LOOK_SECONDS: Final = 10.0
JOINING_LOOK_SECONDS: Final = 1.0
JOIN_SECONDS: Final = 5.0
"""Before that, the broker is not asked about the group: most have joined by then."""


class MemberStuckError(Exception):
    """The member does nothing, though it should: the process has to be started anew."""


class Broker(Protocol):
    """What is asked of the broker: a `LagReader`. Every question may raise `LagUnknownError`."""

    async def first_offsets(self, topic: str, /) -> dict[int, int]:
        """The oldest record of every partition."""
        ...

    async def end_offsets(self, topic: str, /) -> dict[int, int]:
        """One above the newest record of every partition."""
        ...

    async def committed(self, service: str, topic: str, /) -> dict[int, int]:
        """What the service's group has committed; partitions without a commit are left out."""
        ...


class GroupPart:
    """One member's probes and gauges. `state` gives what it knows of itself, at any time."""

    def __init__(
        self,
        service: str,
        topics: Sequence[str],
        broker: Broker,
        state: Callable[[], MemberState],
        *,
        idle_seconds: float = IDLE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`topics` are the group's, without prefix. Idle for longer than that, the process is stuck."""
        self.name: Final = f"group {service}"
        self._service = service
        self._topics = topics
        self._broker = broker
        self._state = state
        self._look_seconds = look_seconds
        self._watch = MemberWatch(time.monotonic(), state(), idle_limit_seconds=idle_seconds)
        self._partitions = metrics.PARTITIONS.labels(service)
        self._unfinished = metrics.LAG.labels(service)
        self._in_work = metrics.IN_WORK.labels(service)
        self._silent = metrics.SILENT.labels(service)
        self._idle = metrics.IDLE.labels(service)
        self._log = structlog.get_logger("imagelane.health")

    async def run(self) -> None:
        """Looks until it is cancelled: often until the member has joined, then every ten seconds.

        Raises `MemberStuckError` where the probe of life would fail: not everywhere is there somebody
        who probes. A client of Kafka was seen that never found its group's coordinator again after
        the broker had been away, and a fresh process does.
        """
        while True:
            view = await self._asked(self._state())
            self._look(view)
            self._tell()
            if reason := self._watch.lives(time.monotonic()):
                raise MemberStuckError(f"{self.name}: {reason}")
            joining = not self._watch.has_joined
            await asyncio.sleep(JOINING_LOOK_SECONDS if joining else self._look_seconds)

    def lives(self) -> str:
        """Why it must be started anew."""
        self._look(self._watch.view)
        return self._watch.lives(time.monotonic())

    def is_ready(self) -> str:
        """Why it does not work, or stand by."""
        self._look(self._watch.view)
        return self._watch.is_ready(time.monotonic())

    def has_started(self) -> str:
        """Whether it was a member once."""
        self._look(self._watch.view)
        return "" if self._watch.has_joined else "it has not joined its group yet"

    def _look(self, view: BrokerView) -> None:
        self._watch.look(self._state(), view, time.monotonic())

    async def _asked(self, state: MemberState) -> BrokerView:
        try:
            if state.positions:
                unread = await self._unread(state.positions)
                return BrokerView(waiting=sum(unread.values()))
            if self._watch.absent_seconds(time.monotonic()) > JOIN_SECONDS:
                return BrokerView(behind=await self._behind())
        except LagUnknownError as error:
            self._log.warning("lag.unknown", error=str(error))
        return BrokerView()  # nothing is known, and nothing is held against the member

    async def _unread(self, positions: Mapping[Place, int | None]) -> dict[Place, int]:
        first: dict[Place, int] = {}
        ends: dict[Place, int] = {}
        for topic in {topic for topic, _ in positions}:
            firsts, lasts = await asyncio.gather(
                self._broker.first_offsets(topic), self._broker.end_offsets(topic)
            )
            first |= {(topic, at): offset for at, offset in firsts.items()}
            ends |= {(topic, at): offset for at, offset in lasts.items()}
        return waiting(positions, first, ends)

    async def _behind(self) -> dict[Place, int]:
        """Not by describing the group: librdkafka (2.16) was seen to abort in that when a broker went away."""
        commits: dict[Place, int] = {}
        for topic in self._topics:
            commits |= {(topic, at): 0 for at in await self._broker.end_offsets(topic)}
            committed = await self._broker.committed(self._service, topic)
            commits |= {(topic, at): offset for at, offset in committed.items()}
        unread = await self._unread(commits)
        return {place: commits[place] for place in unread}

    def _tell(self) -> None:
        state, view = self._watch.state, self._watch.view
        self._partitions.set(len(state.positions))
        self._in_work.set(state.in_work)
        self._silent.set(time.monotonic() - state.turned_at)
        self._idle.set(self._watch.idle_seconds(time.monotonic()))
        if view.waiting is not None:
            self._unfinished.set(view.waiting + state.read_ahead + state.in_work)
        elif not state.positions:
            self._unfinished.set(0)
