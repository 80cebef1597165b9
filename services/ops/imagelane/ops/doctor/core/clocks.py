"""Whether this machine's clock and those of the parts around it tell the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from imagelane.ops.doctor.core.findings import Finding, Report

TOLERANCE: Final = timedelta(seconds=5)
"""S3 refuses requests at 15 minutes, signed webhooks at 5; a second is the Date header's own grain."""


@dataclass(frozen=True, slots=True)
class ClockSeen:
    """How far somebody's clock is ahead of ours. `only_ahead`: it cannot be told whether it is behind."""

    whose: str
    ahead: timedelta
    only_ahead: bool = False


def judge_clocks(seen: Sequence[ClockSeen]) -> Report:
    """A finding for each clock that is off by more than `TOLERANCE`."""
    facts = [f"{one.whose}: {_words(one)}" for one in seen if not _is_off(one)]
    skipped = (
        ""
        if seen
        else "nobody tells the time: no store, API or service is named, no record is there"
    )
    return Report(tuple(facts), tuple(_off(seen)), skipped)


def _off(seen: Sequence[ClockSeen]) -> Iterator[Finding]:
    for one in seen:
        if _is_off(one):
            yield Finding(
                one.whose,
                f"its clock is {_words(one)}",
                "have both machines' clocks set by NTP (`timedatectl`, `chronyc tracking`)",
            )


def _is_off(clock: ClockSeen) -> bool:
    return clock.ahead > TOLERANCE or (clock.ahead < -TOLERANCE and not clock.only_ahead)


def _words(clock: ClockSeen) -> str:
    seconds = clock.ahead.total_seconds()
    if clock.only_ahead and seconds <= TOLERANCE.total_seconds():
        return "not ahead of ours"
    return f"{abs(seconds):.1f} s {'ahead of' if seconds >= 0 else 'behind'} ours"
