"""Settling: images that will be in no call, and questions about jobs whose outcome is in doubt."""

from __future__ import annotations

from math import inf
from typing import Final

from imagelane.batcher.core.decisions import Decisions
from imagelane.batcher.core.job import Job
from imagelane.batcher.core.lane import Lane, OpenSettle
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import doubled
from imagelane.contracts.events import ImagesSettled
from imagelane.contracts.image_sets import pack_some
from imagelane.contracts.parts import SettledImages

MAX_SETTLE_BYTES: Final = 600_000
ENTRY_BYTES: Final = 400
"""What a job costs besides its bitmaps, at most."""


def settle(lane: Lane, now: Moment, out: Decisions) -> float:
    """Names what failed on the road or was cancelled, one settle at a time. Returns when to look again.

    A job in doubt is named too, with or without images: the dispatcher answers with its whole
    outcome.
    """
    if lane.settle is not None:
        if lane.settle.due_seconds > now.seconds:
            return lane.settle.due_seconds
        lane.settle, lane.settle_tries = None, lane.settle_tries + 1
    open_jobs = [job for job in lane.jobs.values() if job.broken or job.void or job.in_doubt]
    if not open_jobs:
        return inf
    if lane.settle_not_before_seconds > now.seconds:
        return lane.settle_not_before_seconds
    named = _name(open_jobs)
    asked = {job.job_id: job.broken | job.void for job in open_jobs[: len(named)]}
    due = now.seconds + doubled(lane.rules.resend_after_seconds, lane.settle_tries)
    lane.settle = OpenSettle(asked, due)
    out.events.append(ImagesSettled(customer_id=lane.customer_id, jobs=named, occurred_at=now.at))
    return due


def _name(jobs: list[Job]) -> list[SettledImages]:
    """As many of the jobs, in their order, as fit into one record."""
    named: list[SettledImages] = []
    room = MAX_SETTLE_BYTES
    for job in jobs:
        if room < 0:
            break
        failed, cancelled = pack_some(job.broken), pack_some(job.void)
        room -= ENTRY_BYTES + sum(len(one.bitmap) for one in (failed, cancelled) if one)
        named.append(SettledImages(job_id=job.job_id, failed=failed, cancelled=cancelled))
    return named
