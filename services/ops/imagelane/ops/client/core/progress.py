"""How far a job is: its pace, the time that is left, and how it ended."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from imagelane.ops.client.core.answers import Job

WINDOW_SECONDS: Final = 20.0
FEW: Final = 10
"""Calls are small at first: before a tenth of the images has ended, their pace says nothing."""
LOOKS: Final = 2
"""Are kept at least: between them is a pace."""
DONE, FAILED, PARTLY = 0, 1, 3
"""Exit codes: every image was delivered, none was, some were."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Images per second at present, and the seconds that are left at that pace; None where nobody can tell."""

    per_second: float | None
    left_seconds: float | None


class Pacer:
    """Tells the pace from what is heard of a job; `now` is in seconds of a clock that only goes on."""

    def __init__(self) -> None:
        self._heard: deque[tuple[float, int]] = deque()
        self._first: tuple[float, int] | None = None

    def hear(self, job: Job, now: float) -> Pace:
        """The pace over the last twenty seconds.

        The time left is that of the slower half of the road: up to the processed image, or the calls. These
        end many images at once, so they are averaged since the first look, and count when a tenth has ended.
        """
        processed, settled = job.counts.processed, job.counts.settled
        self._heard.append((now, processed))
        while len(self._heard) > LOOKS and now - self._heard[0][0] > WINDOW_SECONDS:
            self._heard.popleft()
        if self._first is None:
            self._first = (now, settled)
        if job.images is None or len(self._heard) == 1:
            return Pace(None, None)
        then, had = self._heard[0]
        began, had_settled = self._first
        processing = _per_second(processed - had, now - then)
        left = _seconds(job.images - processed, processing)
        if left is not None and settled * FEW >= job.images:
            settling = _per_second(settled - had_settled, now - began)
            calls = _seconds(job.images - settled, settling)
            left = None if calls is None else max(left, calls)
        return Pace(processing, left)


def exit_code(job: Job) -> int:
    """Of a job that is over: 0 when every image was delivered, 3 when some were, 1 when none was."""
    if job.status == "refused" or not job.counts.delivered:
        return FAILED
    return DONE if job.counts.delivered == job.images else PARTLY


def progress_line(job: Job, pace: Pace) -> str:
    """One line for logs: steps, failures, pace and the time that is left."""
    counts = job.counts
    of = "" if job.images is None else f"/{job.images:,}"
    parts = [
        f"{job.status:9}",
        f"downloaded {counts.downloaded:,}{of}",
        f"processed {counts.processed:,}{of}",
        f"delivered {counts.delivered:,}{of}",
        f"failed {counts.failed:,}",
    ]
    if counts.cancelled:
        parts.append(f"cancelled {counts.cancelled:,}")
    if not job.is_over:
        parts.append(pace_text(pace))
    return "  ".join(part for part in parts if part)


def pace_text(pace: Pace) -> str:
    """`120/s, 2:05 left`."""
    parts = []
    if pace.per_second is not None:
        parts.append(f"{pace.per_second:.0f}/s")
    if pace.left_seconds is not None:
        parts.append(f"{clock(pace.left_seconds)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """`0:07`, `2:05`, `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def summary_lines(job: Job) -> list[str]:
    """How the job ended, with its failures by code."""
    if job.refusal is not None:
        return [f"refused: {job.refusal.reason} ({job.refusal.code})"]
    counts = job.counts
    images = counts.requested if job.images is None else job.images
    told = f"{job.status}: {counts.delivered:,} of {images:,} images delivered"
    others = [
        f"{count:,} {word}"
        for word, count in (("failed", counts.failed), ("cancelled", counts.cancelled))
        if count
    ]
    if job.cut_short_by:
        others.append(f"cut short by {_article(job.cut_short_by)}")
    lines = [", ".join([told, *others])]
    lines += [f"{one.images:>9,}  {one.code}: {one.reason}" for one in job.failures]
    return lines


def _article(word: str) -> str:
    return {"deadline": "its deadline", "cancel": "a cancel", "delete": "a delete"}.get(word, word)


def _per_second(images: int, seconds: float) -> float:
    return max(images, 0) / seconds if seconds > 0 else 0.0


def _seconds(images: int, per_second: float) -> float | None:
    if images <= 0:
        return 0.0
    return images / per_second if per_second > 0 else None
