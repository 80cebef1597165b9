"""An end in bounded time, whatever a service still waits for.

Clients wait for a broker that is away in threads of their own, which nobody can cancel and which Python waits
for. Leaving them alone is safe: what is not durable was acknowledged to nobody, and the next process does it
again, as after a crash.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Final, Protocol

import structlog

from imagelane.platform import logs

END_SECONDS: Final = 5.0
"""Enough for who has something to say to a broker that answers."""
LOOK_SECONDS: Final = 0.1


class End(Protocol):
    """Whatever ends the process, or not."""

    def within(self, seconds: float) -> None:
        """At the latest so many seconds from now."""
        ...


class _NobodysEnd:
    def within(self, seconds: float) -> None:
        """Nothing happens."""


UNBOUNDED: Final[End] = _NobodysEnd()
"""For a service in a process of somebody else, who ends it."""


class BoundedEnd:
    """Ends the process, with 0, when the time that was given is over and it still runs.

    Only for who owns the process: a service's `__main__`.
    """

    def __init__(self) -> None:
        self._at = math.inf
        self._watch = threading.Thread(target=self._wait, name="bounded-end", daemon=True)

    def within(self, seconds: float) -> None:
        """From now on the process has so many seconds, whatever was said before. For one thread."""
        self._at = time.monotonic() + seconds
        if not self._watch.is_alive():
            self._watch.start()

    def _wait(self) -> None:
        while time.monotonic() < self._at:
            time.sleep(LOOK_SECONDS)
        structlog.get_logger("imagelane.lifecycle").warning(
            "service.left",
            reason="it was asked to end, and waits for something that does not answer",
        )
        logs.drain()
        os._exit(0)
