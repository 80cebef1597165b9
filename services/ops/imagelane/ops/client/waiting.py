"""Live progress of one job: bars on a terminal, plain lines elsewhere; both on standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from imagelane.ops.client.core.answers import Job
from imagelane.ops.client.core.progress import Pace, Pacer, pace_text, progress_line

PLAIN_EVERY_SECONDS: Final = 2.0
STEPS: Final = ("downloaded", "processed", "delivered", "failed")


class Waiting:
    """What is shown while a job is waited for, inside the block."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._pacer = Pacer()
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(bar_width=40),
            TextColumn("{task.fields[told]:>17}"),
            TextColumn("{task.fields[pace]}"),
            console=self._console,
            refresh_per_second=4,
        )
        self._told_at = float("-inf")
        self._told = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            for step in STEPS:
                self._bars[step] = self._progress.add_task(step, total=None, told="", pace="")
            self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._progress.stop()

    def say(self, text: str) -> None:
        """One line, above the bars."""
        self._console.print(text, markup=False, soft_wrap=True)

    def show(self, job: Job) -> None:
        """How the job stands now."""
        now = time.monotonic()
        pace = self._pacer.hear(job, now)
        if self._bars:
            self._draw(job, pace)
        elif job.is_over or now - self._told_at >= PLAIN_EVERY_SECONDS:
            self._told_at = now
            self._say_once(progress_line(job, pace))

    def _draw(self, job: Job, pace: Pace) -> None:
        counts = job.counts
        of = "" if job.images is None else f"/{job.images:,}"
        done = (counts.downloaded, counts.processed, counts.delivered, counts.failed)
        for step, images in zip(STEPS, done, strict=True):
            first = step == STEPS[0]
            self._progress.update(
                self._bars[step],
                completed=images,
                total=job.images,
                told=f"{images:,}{'' if step == 'failed' else of}",
                pace=(job.status if job.is_over else pace_text(pace) or job.status)
                if first
                else "",
            )

    def _say_once(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self.say(line)
