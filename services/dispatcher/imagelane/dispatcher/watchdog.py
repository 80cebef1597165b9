"""Ends a process that has slept or is stuck: what it believes to own may be another worker's by now."""

from __future__ import annotations

import os
import threading
from typing import Final

from imagelane.dispatcher.ownership import Ownership, boot_seconds

CHECK_SECONDS: Final = 0.25
STUCK_SECONDS: Final = 30.0
"""Three times what a call of Kafka's is given. After a broker was killed in the middle of a transaction,
librdkafka 2.16 was seen never to return from `send_offsets_to_transaction`: a fresh process does better."""
EXIT_CODE: Final = 70
STDERR: Final = 2
TELLING_SECONDS: Final = 0.5


class Watchdog:
    """A thread that notices, first of all after a sleep, that more time has passed than a session lasts."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends watching."""
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        seen_at = boot_seconds()
        while not self._stopping.wait(CHECK_SECONDS):
            now = boot_seconds()
            if now - seen_at > self._ownership.session_seconds:
                _leave(f"the process slept for {now - seen_at:.1f} s, longer than its session")
            if now - self._ownership.polled_at > STUCK_SECONDS:
                _leave(f"the group was not polled for {STUCK_SECONDS:.0f} s")
            seen_at = now


def _leave(reason: str) -> None:
    # No orderly end: whatever would still be done now might be done in another worker's place.
    line = f'{{"event": "watchdog.left", "reason": "{reason}", "level": "error"}}\n'
    # A pipe that nobody reads must not keep it here.
    telling = threading.Thread(target=os.write, args=(STDERR, line.encode()), daemon=True)
    telling.start()
    telling.join(TELLING_SECONDS)
    os._exit(EXIT_CODE)
