"""How many images may be fetched from one server at a time.

The limit starts at a setting, grows with every answer while it is used up, and shrinks with time-outs,
429, 503, cut connections and rising latency: at most once per round trip, since everything that was
under way when it shrank tells nothing new. A server that fails round after round is left alone for a
while and then probed with single images.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from imagelane.contracts.hosts import HostState

STRANGER_LIMIT: Final = 2  # before its first answer, a server may hold up no more than this
STRANGE_AFTER_FAILURES: Final = 3
PROBED_AFTER_ROUNDS: Final = 4
FIRST_PROBE_SECONDS: Final = 0.5
MAX_PROBE_SECONDS: Final = 30.0
FREE_GROWTH: Final = 0.1  # per answer, until the first trouble: 16 to 64 in 480 answers
LATENCY_WEIGHT: Final = 0.2
LATENCY_DRIFT: Final = 1.01  # a second: who stays slower is taken as it is, minutes later
MAX_DRIFT_SECONDS: Final = 600.0
CROWDED_FACTOR: Final = 2.0
CROWDED_SECONDS: Final = 0.1  # below this, a rise is our own machine's noise
CROWDED_CUT: Final = 0.8
CROWDED_FLOOR: Final = 4.0


@dataclass(frozen=True, slots=True)
class PacePolicy:
    """The limit's start and its hard cap; how long a server may fail without one answer in between."""

    start: int = 16
    most: int = 64
    patience_seconds: float = 300.0


@dataclass(slots=True)
class Throttling:
    """How often servers were spared, all of them together."""

    cuts_for_trouble: int = 0
    cuts_for_latency: int = 0
    pauses_asked: int = 0
    pauses_failing: int = 0


class HostPace:
    """One server's limit and what it follows from. All times are of one monotonic clock, in seconds."""

    __slots__ = (  # there may be one for each of tens of thousands of waiting images
        "_asked_until",
        "_cut_at",
        "_failed_rounds",
        "_failing_since",
        "_failures",
        "_free_growth",
        "_has_answered",
        "_limit",
        "_measured_at",
        "_policy",
        "_probe_seconds",
        "_recent_seconds",
        "_throttling",
        "_usual_seconds",
        "in_flight",
        "resumes_at",
    )

    def __init__(self, policy: PacePolicy, throttling: Throttling | None = None) -> None:
        """`throttling` may be shared by many servers."""
        self._policy = policy
        self._throttling = throttling or Throttling()
        self._limit = float(min(policy.start, policy.most))
        self._free_growth = True
        self._asked_until = -inf
        self._cut_at = -inf
        self._has_answered = False
        self._failures = 0
        self._failed_rounds = 0
        self._failing_since = inf
        self._probe_seconds = FIRST_PROBE_SECONDS
        self._usual_seconds = inf
        self._recent_seconds = 0.0
        self._measured_at = 0.0
        self.in_flight = 0
        self.resumes_at = -inf

    @property
    def is_stranger(self) -> bool:
        """Whether it has never answered, or has failed lately whatever was asked of it."""
        return not self._has_answered or self._failures >= STRANGE_AFTER_FAILURES

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of it, good or bad."""
        return not self._has_answered and self._failures == 0

    @property
    def limit(self) -> int:
        """How many images may be under way, from 1 to the policy's `most`."""
        return min(int(self._limit), STRANGER_LIMIT) if self.is_stranger else int(self._limit)

    @property
    def is_slowed(self) -> bool:
        """Whether it gets fewer images at a time than a server that nothing is known of."""
        return self._limit < min(self._policy.start, self._policy.most)

    def sparing(self, now: float) -> HostState | None:
        """Why it gets less than it could, if so: the reason that holds longest."""
        if now < self._asked_until >= self.resumes_at:
            return "asked_to_wait"
        if self._failed_rounds >= PROBED_AFTER_ROUNDS:
            return "failing"
        return "slowed" if self.is_slowed else None

    def may_start(self, now: float) -> bool:
        """Whether one more image may be fetched now."""
        return self.in_flight < self.limit and now >= self.resumes_at

    def is_hopeless(self, now: float) -> bool:
        """Whether it has failed for longer than our patience, and round after round."""
        return (
            self._failed_rounds >= PROBED_AFTER_ROUNDS
            and now - self._failing_since >= self._policy.patience_seconds
        )

    def answered(self, started_at: float, now: float, answer_seconds: float | None) -> None:
        """It answered, be it with a 404. Told before the image leaves `in_flight`."""
        self._has_answered = True
        self._failures = self._failed_rounds = 0
        self._failing_since = inf
        self._probe_seconds = FIRST_PROBE_SECONDS
        if answer_seconds is not None and self._is_crowded(answer_seconds, now):
            if started_at > self._cut_at and self._limit > CROWDED_FLOOR:
                self._limit = max(CROWDED_FLOOR, self._limit * CROWDED_CUT)
                self._cut_at = now
                self._throttling.cuts_for_latency += 1
        elif self.in_flight >= int(self._limit):
            growth = FREE_GROWTH if self._free_growth else 1 / self._limit
            self._limit = min(self._policy.most, self._limit + growth)

    def troubled(self, started_at: float, now: float, retry_after_seconds: float | None) -> None:
        """It timed out, was overloaded, cut the connection or could not be reached."""
        self._failures += 1
        self._failing_since = min(self._failing_since, now)
        self._free_growth = False
        if started_at > self._cut_at:
            self._cut_at = now
            self._limit = max(1.0, self._limit / 2)
            self._throttling.cuts_for_trouble += 1
            self._failed_rounds += 1
            if self._failed_rounds >= PROBED_AFTER_ROUNDS:
                self._limit = 1.0
                self._pause_until(now + self._probe_seconds)
                self._throttling.pauses_failing += 1
                self._probe_seconds = min(self._probe_seconds * 2, MAX_PROBE_SECONDS)
        if retry_after_seconds is not None:
            self._asked_until = now + retry_after_seconds
            self._pause_until(self._asked_until)
            self._throttling.pauses_asked += 1

    def _pause_until(self, then: float) -> None:
        self.resumes_at = max(self.resumes_at, then)

    def _is_crowded(self, answer_seconds: float, now: float) -> bool:
        """Whether answers take much longer than they usually do."""
        if self._usual_seconds == inf:
            self._usual_seconds = self._recent_seconds = answer_seconds
        drift_seconds = min(now - self._measured_at, MAX_DRIFT_SECONDS)
        self._measured_at = now
        self._recent_seconds += (answer_seconds - self._recent_seconds) * LATENCY_WEIGHT
        self._usual_seconds = min(
            self._usual_seconds * LATENCY_DRIFT**drift_seconds, self._recent_seconds
        )
        return self._recent_seconds > CROWDED_FACTOR * self._usual_seconds + CROWDED_SECONDS
