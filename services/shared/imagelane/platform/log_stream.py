"""Where log lines go: to standard error, by a thread of its own, so that nothing waits for who reads them.

A pipe whose reader stands still would otherwise stop the event loop, and with it the group's polls.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from typing import Final

MAX_LINES: Final = 10_000
DRAIN_SECONDS: Final = 1.0
DRAIN_POLL_SECONDS: Final = 0.01


class LogStream:
    """A stream for `logging.StreamHandler`. What is not taken in time is dropped, and counted in a line."""

    def __init__(self, descriptor: int, *, max_lines: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[str] = queue.Queue(max_lines)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="logs", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Takes a line; never waits."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self._dropped += 1

    def flush(self) -> None:
        """Nothing: the handler calls it after every line. See `drain`."""

    def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Waits until every line is written, but no longer than this: for the end of the process."""
        deadline = time.monotonic() + seconds
        while self._lines.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(DRAIN_POLL_SECONDS)

    def _write_all(self) -> None:
        while True:
            line = self._lines.get()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                lost = {"event": "log.lines_dropped", "lines": dropped, "level": "warning"}
                self._write(json.dumps(lost) + "\n")
            self._write(line)
            self._lines.task_done()

    def _write(self, line: str) -> None:
        data = line.encode(errors="backslashreplace")
        try:
            while data:  # not by `sys.stderr`, whose lock would hold up the end of the process
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return  # nobody reads any more, and there is nobody else to tell
