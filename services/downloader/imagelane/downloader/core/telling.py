"""Which servers' states are told, and when: on a change, and again before what was told expires.

However many servers stall and however they flicker, it is a few small records a second at most, and most
waiting images come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest
from typing import Final

from imagelane.downloader.core.hosts import Sparing

TOLD_AT_ONCE: Final = 20
MAX_TOLD: Final = 500
AGAIN_SECONDS: Final = 60.0
HOLDS_SECONDS: Final = 150.0
"""Two times of telling it again may fail before it is nobody's word any more."""
FLICKER_SECONDS: Final = 10.0
"""What only goes up and down a little is not told more often."""


class Telling:
    """What was told of each server, by the schedule's clock."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Sparing, float]] = {}

    def due(self, spared: Mapping[str, Sparing], now: float) -> list[tuple[str, Sparing | None]]:
        """What to tell now, at most `TOLD_AT_ONCE`; None for servers that are spared no more."""
        ended = [server for server in self._told if server not in spared][:TOLD_AT_ONCE]
        for server in ended:
            del self._told[server]
        due: list[tuple[str, Sparing | None]] = [(server, None) for server in ended]
        by_waiting = nlargest(MAX_TOLD, spared.items(), key=lambda one: one[1].waiting)
        for server, sparing in by_waiting:
            if len(due) == TOLD_AT_ONCE:
                break
            if self._is_due(server, sparing, now):
                self._told[server] = (sparing, now)
                due.append((server, sparing))
        return due

    def _is_due(self, server: str, sparing: Sparing, now: float) -> bool:
        if server not in self._told:
            return len(self._told) < MAX_TOLD
        before, told_at = self._told[server]
        seconds = now - told_at
        if before.state != sparing.state or seconds >= AGAIN_SECONDS:
            return True
        return seconds >= FLICKER_SECONDS and _says(before) != _says(sparing)


def _says(sparing: Sparing) -> tuple[object, ...]:
    """All but how much waits, which is not told."""
    return sparing.images_at_a_time, sparing.resumes_at, sparing.trouble
