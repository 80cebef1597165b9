"""Deadlines: jobs that are over, whatever of them is done."""

from __future__ import annotations

from math import inf
from typing import Final

from imagelane.batcher.core.lane import Lane
from imagelane.batcher.core.moment import Moment

LONGEST_WAIT_SECONDS: Final = 300.0
"""A deadline is a time of the wall clock, which may jump; so it is looked at again this often."""


def cut_overdue(lane: Lane, now: Moment) -> float:
    """Cuts short every job whose deadline has passed. Returns when to look again."""
    look_at = inf
    for job in lane.jobs.values():
        if job.deadline is None or job.is_cut:
            continue
        left_seconds = (job.deadline - now.at).total_seconds()
        if left_seconds <= 0.0:
            job.cut("deadline")
        else:
            look_at = min(look_at, now.seconds + min(left_seconds, LONGEST_WAIT_SECONDS))
    return look_at
