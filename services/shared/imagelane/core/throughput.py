"""Whether a server keeps up a least pace, over every stretch of time of a given length."""

from __future__ import annotations

from collections import deque
from typing import Final

LOOKS_PER_WINDOW: Final = 10


class LeastPace:
    """Watches how many bytes have come. All times are of one monotonic clock, in seconds.

    A body that brings less than `bytes_per_second` over any window of `window_seconds` (and up to a tenth
    more) is found out, whatever it brought before. Memory and work do not grow with the body.
    """

    def __init__(self, bytes_per_second: float, window_seconds: float, now: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._window_seconds = window_seconds
        self._look_seconds = window_seconds / LOOKS_PER_WINDOW
        self._looks: deque[tuple[float, int]] = deque(((now, 0),))
        self._next_look_at = now + self._look_seconds

    def is_kept(self, received_bytes: int, now: float) -> bool:
        """Whether the pace was kept so far; to be asked with every piece that comes."""
        if now < self._next_look_at:
            return True
        looks = self._looks
        while len(looks) > 1 and looks[1][0] <= now - self._window_seconds:
            looks.popleft()
        began_at, bytes_before = looks[0]
        looks.append((now, received_bytes))
        self._next_look_at = now + self._look_seconds
        seconds = now - began_at
        return (
            seconds < self._window_seconds
            or received_bytes - bytes_before >= self._bytes_per_second * seconds
        )
