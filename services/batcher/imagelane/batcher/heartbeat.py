"""Noticing that the process was paused: others may own its lanes by now."""

from __future__ import annotations

import time

from imagelane.batcher.leaving import Exit, leave


class Heartbeat:
    """Ends the process when the event loop has slept for longer than `limit_seconds`.

    `beat` comes from a timer, and before anything is folded, decided or sent: whichever runs first
    after a pause.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._last_seconds = time.monotonic()

    def beat(self) -> None:
        """The loop is alive, and was all the time; else the process leaves."""
        seconds = time.monotonic()
        slept = seconds - self._last_seconds
        if slept > self._limit_seconds:
            leave(Exit.SLEPT, "the process was paused for too long", slept_seconds=round(slept, 1))
        self._last_seconds = seconds
