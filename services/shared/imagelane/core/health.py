"""Verdicts on a member of a consumer group: does it live, is it ready. Pure.

A verdict is the reason against it, and empty where there is none. Life means progress, seen against
what waits: a member was seen that said "ready" all along and did nothing. A broker or a store that
is away is no reason against life, since a fresh process would have it no better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Place = tuple[str, int]
"""A topic and a partition."""

THREAD_SECONDS: Final = 60.0
"""A Kafka client may be busy for so long: it reads commits and hands partitions over."""
IDLE_SECONDS: Final = 120.0
SPARE_SECONDS: Final = 15.0
"""A join takes a few seconds; who has no partitions after this long stands by."""
ORPHAN_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class MemberState:
    """What a member knows of itself, at one moment."""

    turned_at: float
    """When its Kafka client was last looked after, by the watch's clock."""
    positions: Mapping[Place, int | None]
    """The partitions that it has, each with the next offset to read; None if nothing was read yet."""
    read_ahead: int = 0
    in_work: int = 0
    moves: int = 0
    """Grows with every record taken or done."""
    held: str = ""
    """Why it takes nothing, on purpose."""
    unready: str = ""
    """What is to be done before it can work with the partitions that it is given."""


@dataclass(frozen=True, slots=True)
class BrokerView:
    """What the broker says, when it was last asked. None: it did not answer, or was not asked."""

    waiting: int | None = None
    """Records that the member has not read, in its partitions."""
    behind: Mapping[Place, int] | None = None
    """Asked for a member without partitions: the group's, where records wait, with their commits."""


@dataclass(slots=True)
class MemberWatch:
    """A member, followed over time. All times are in seconds of one clock that only goes on."""

    began_at: float
    state: MemberState
    idle_limit_seconds: float = IDLE_SECONDS
    view: BrokerView = field(default_factory=BrokerView)
    has_joined: bool = False
    _moved_at: float = 0.0
    _absent_since: float | None = None
    _stalled: dict[Place, tuple[int, float]] = field(default_factory=dict)
    """The group's partitions where records wait: the commit, and since when it has not moved."""

    def __post_init__(self) -> None:
        self._moved_at = self.began_at

    def look(self, state: MemberState, view: BrokerView, now: float) -> None:
        """Takes in what is seen now."""
        progress = state.moves != self.state.moves or state.positions != self.state.positions
        if progress or not _waits(state, view):
            self._moved_at = now
        if state.positions or state.unready:
            self._absent_since = None
            self._stalled.clear()
        elif self._absent_since is None:
            self._absent_since = now
        if view.behind is not None:
            self._stalled = {
                place: self._stalled[place]
                if place in self._stalled and self._stalled[place][0] == commit
                else (commit, now)
                for place, commit in view.behind.items()
            }
        self.state, self.view = state, view
        self.has_joined |= bool(state.positions and not state.unready) or self.is_spare(now)

    def absent_seconds(self, now: float) -> float:
        """For how long it has had no partitions, though it could work."""
        return 0.0 if self._absent_since is None else now - self._absent_since

    def is_spare(self, now: float) -> bool:
        """Whether it stands by: the broker is there, and has no partition for it."""
        return self.absent_seconds(now) >= SPARE_SECONDS and self.view.behind is not None

    def idle_seconds(self, now: float) -> float:
        """For how long records have waited while none was taken or done; 0 if none waits."""
        return now - self._moved_at if _waits(self.state, self.view) else 0.0

    def lives(self, now: float) -> str:
        """Why the process should be started anew."""
        if (silent := now - self.state.turned_at) > THREAD_SECONDS:
            return f"its Kafka client was not looked after for {silent:.0f} s"
        if (idle := self.idle_seconds(now)) > self.idle_limit_seconds:
            return f"records wait, and none was taken for {idle:.0f} s"
        if (orphaned := self._orphaned_seconds(now)) > ORPHAN_SECONDS:
            return f"it has no partitions, and records wait that nobody took for {orphaned:.0f} s"
        return ""

    def is_ready(self, now: float) -> str:
        """Why it neither works nor stands by."""
        if not self.has_joined:
            return self.state.unready or "it has not joined its group yet"
        if self._absent_since is not None and not self.is_spare(now):
            return "it has no partitions"
        return self.state.unready or self.lives(now)

    def _orphaned_seconds(self, now: float) -> float:
        if self._absent_since is None or self.state.held:
            return 0.0
        return max((now - since for _, since in self._stalled.values()), default=0.0)


def _waits(state: MemberState, view: BrokerView) -> bool:
    if state.held or state.in_work:
        return False
    return state.read_ahead > 0 or (view.waiting or 0) > 0


def waiting(
    positions: Mapping[Place, int | None], first: Mapping[Place, int], ends: Mapping[Place, int]
) -> dict[Place, int]:
    """How many records lie from each position to its end, where there are any.

    `first`: each partition's earliest offset; what retention has removed does not wait.
    """
    counts = {
        place: ends[place] - max(at or 0, first[place])
        for place, at in positions.items()
        if place in ends and place in first
    }
    return {place: count for place, count in counts.items() if count > 0}
