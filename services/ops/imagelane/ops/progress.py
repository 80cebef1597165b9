"""Live progress of jobs: a table that stands still on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from imagelane.contracts.topics import DOWNLOADED, PROCESSED
from imagelane.ops.watching import JobWatch

PLAIN_EVERY_SECONDS: Final = 2.0
COLUMNS: Final = ("customer", "images", "downloaded", "processed", "delivered", "failed", "calls")


class Progress:
    """Shows what is told to it, on standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._plain_at = 0.0
        self._began = time.monotonic()

    def say(self, name: str, text: str) -> None:
        """One line, above the table."""
        self._console.print(f"{time.monotonic() - self._began:6.1f} s  [bold]{name}[/bold]  {text}")

    def keep(self, name: str, line: str) -> None:
        """A line of a process: all are in the logs, only restarts are shown."""
        if line.startswith(("ended with", "did not end")):
            self.say(name, line)

    def jobs(self, jobs: list[JobWatch], wanted: dict[str, int]) -> None:
        """How far the jobs are; `wanted` has each customer's number of lines."""
        rows = [_row(customer, lines, jobs) for customer, lines in wanted.items()]
        if self._console.is_terminal:
            self._update(rows)
        elif time.monotonic() - self._plain_at > PLAIN_EVERY_SECONDS:
            self._plain_at = time.monotonic()
            parts = (
                f"{row[0]} {row[3]}/{row[1]} processed, {row[4]} delivered, {row[6]} calls"
                for row in rows
            )
            self.say("road", "; ".join(parts))

    def end(self) -> None:
        """Leaves the table as it stands."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _update(self, rows: list[tuple[str, ...]]) -> None:
        table = Table(*COLUMNS)
        for row in rows:
            table.add_row(*row)
        if self._live is None:
            self._live = Live(table, console=self._console, refresh_per_second=8)
            self._live.start()
        self._live.update(table)


def _row(customer: str, lines: int, jobs: list[JobWatch]) -> tuple[str, ...]:
    for job in jobs:
        if job.customer_id == customer:
            downloaded, processed = job.stages[DOWNLOADED], job.stages[PROCESSED]
            numbers = (
                lines,
                downloaded.images,
                processed.images,
                job.delivered,
                processed.failed,
                job.calls,
            )
            return (customer, *map(str, numbers))
    return (customer, str(lines), "0", "0", "0", "0", "0")
