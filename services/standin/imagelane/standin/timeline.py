"""Each customer's calls on a time axis, for a summary: when, how many images, how long idle before."""

from __future__ import annotations

from dataclasses import dataclass

from imagelane.standin.history import history_of
from imagelane.standin.journal import Entry


@dataclass(frozen=True, slots=True)
class Span:
    """One call. Times are seconds since the journal's first entry; an unfinished call has no end.

    `idle_seconds` is the gap since the customer's previous call ended; the first call has none.
    """

    batch: str
    start_seconds: float
    end_seconds: float | None
    images: int
    failed: int
    status: str
    idle_seconds: float | None


def timeline(entries: list[Entry]) -> dict[str, list[Span]]:
    """The calls of each customer in the order in which they began, on the monotonic clock."""
    if not entries:
        return {}
    zero: float = entries[0]["monotonic"]
    spans: dict[str, list[Span]] = {}
    for call in history_of(entries).calls:
        before = spans.setdefault(call.customer, [])
        start = call.began_monotonic - zero
        previous_end = before[-1].end_seconds if before else None
        before.append(
            Span(
                batch=call.batch,
                start_seconds=start,
                end_seconds=None if call.ended_monotonic is None else call.ended_monotonic - zero,
                images=len(call.urls),
                failed=len(call.failed),
                status=call.status,
                idle_seconds=None if previous_end is None else start - previous_end,
            )
        )
    return spans
