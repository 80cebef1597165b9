"""The sweep: images of a sealed job of which nothing was heard, and of which nothing more comes."""

from __future__ import annotations

from math import inf

from imagelane.batcher.core.decisions import Decisions
from imagelane.batcher.core.job import Job
from imagelane.batcher.core.lane import Lane
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import doubled
from imagelane.contracts.events import ImagesMissing
from imagelane.contracts.image_sets import pack


def sweep(lane: Lane, now: Moment, out: Decisions) -> float:
    """Asks for the outcome of jobs that stand still, then names what is missing. Returns when to look again.

    The dispatcher is asked first, even with the sweep switched off: it may know of outcomes that
    this side has lost, and nobody has to fetch those images again.
    """
    return min((_look_at(job, lane, now, out) for job in lane.jobs.values()), default=inf)


def _look_at(job: Job, lane: Lane, now: Moment, out: Decisions) -> float:
    if job.images is None or job.is_fully_seen or job.in_doubt:
        return inf
    stalled_at = job.moved_seconds + doubled(lane.rules.stalled_after_seconds, job.stalls)
    if stalled_at > now.seconds:
        return stalled_at
    if not job.is_told:
        job.in_doubt = True
        return inf
    job.moved_seconds, job.stalls, job.is_told = now.seconds, job.stalls + 1, False
    if lane.rules.sweep:
        job.rounds += 1
        job.fresh.facts = True
        out.events.append(
            ImagesMissing(
                customer_id=lane.customer_id,
                job_id=job.job_id,
                images=pack(job.unheard()),
                round=job.rounds,
                occurred_at=now.at,
            )
        )
    return now.seconds + doubled(lane.rules.stalled_after_seconds, job.stalls)
