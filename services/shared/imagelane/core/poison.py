"""When so much cannot be read that going on would only drain the topic into its dead letters. Pure.

One record that cannot be read is its sender's mistake. A flood of them is a wrong deployment, a
producer of another version or a wrong topic, and every one put aside is one that a person has to
replay: then it is better to stand still, and to be seen (the ratio is the idea of Sentry's arroyo).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

WINDOW_SECONDS: Final = 60.0


class PoisonFloodError(Exception):
    """Too many of the last minute's records cannot be read: a person has to look."""


@dataclass(slots=True)
class PoisonGauge:
    """Follows how many of the records taken were unreadable. Holds at most `least` moments.

    With a `ratio` of 1 there is never a flood.
    """

    ratio: float
    least: int
    """So many in a minute are never a flood, whatever else came."""
    _unreadable: deque[tuple[float, int]] = field(default_factory=deque)
    """When each was met, and the how many-th record it was."""

    def unreadable(self, now: float, taken: int) -> None:
        """One more cannot be read, of `taken` records since the process began, itself among them.

        `now` is in seconds of a clock that only goes on. Raises `PoisonFloodError`.
        """
        if self.ratio >= 1.0:
            return
        self._unreadable.append((now, taken))
        while self._unreadable[0][0] <= now - WINDOW_SECONDS:
            self._unreadable.popleft()
        count = len(self._unreadable)
        if count <= self.least:
            return
        # Of the window's records only those since the oldest bad one are known; those before were
        # good, and a flood that has just begun is one all the same.
        of = taken - self._unreadable[0][1] + 1
        if count > self.ratio * of:
            raise PoisonFloodError(
                f"{count} of the last {of} records, within {WINDOW_SECONDS:.0f} s, could not be read"
            )
        self._unreadable.popleft()
