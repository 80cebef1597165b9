"""The end of a job, and of what is kept of it."""

from __future__ import annotations

from collections import deque
from itertools import islice
from math import inf

from msgspec import UNSET

from imagelane.batcher.core.job_life import Move
from imagelane.batcher.core.lane import FinishedJob, Lane
from imagelane.batcher.core.moment import Moment
from imagelane.contracts.events import JobFinished


def finish(lane: Lane, now: Moment) -> None:
    """Turns every complete job into a marker, to be written and told."""
    for job in [job for job in lane.jobs.values() if job.is_complete]:
        event = JobFinished(
            customer_id=lane.customer_id,
            job_id=job.job_id,
            images=job.images or 0,
            delivered=len(job.delivered),
            failed=len(job.failed),
            cancelled=len(job.cancelled),
            occurred_at=now.at,
            # Where nothing was left to cut off, the job has run its course.
            cut_short_by=(job.cut_short_by or UNSET) if job.cancelled else UNSET,
        )
        job.move(Move.FINISH)
        marker = FinishedJob(event, job.keys)
        del lane.jobs[job.job_id]
        lane.finished[job.job_id] = marker
        lane.markers.append(marker)


def forget(lane: Lane, now: Moment, garbage: deque[bytes]) -> float:
    """Drops markers, orders, and jobs that nobody ever accepted, once they are older than the retention.

    Markers leave earlier where there are too many. Returns when to look again.
    """
    oldest_kept = now.at - lane.rules.retention
    for job in [job for job in lane.jobs.values() if job.is_shell and job.seen_at <= oldest_kept]:
        job.move(Move.FORGET)
        garbage.extend(job.keys)
        del lane.jobs[job.job_id]
    for reason in [one for one, order in lane.orders.items() if order.until <= oldest_kept]:
        garbage.extend(lane.orders.pop(reason).keys)
    while lane.finished:
        job_id, oldest = next(iter(lane.finished.items()))
        is_kept = len(lane.finished) <= lane.rules.max_finished_jobs
        if (oldest.event.occurred_at > oldest_kept and is_kept) or not oldest.is_told:
            break
        oldest.move(Move.FORGET)
        if oldest in lane.markers:  # that it was told need not be written down any more
            lane.markers.remove(oldest)
        garbage.extend(oldest.keys)
        del lane.finished[job_id]
    kept = [job.seen_at for job in lane.jobs.values() if job.is_shell]
    kept += [order.until for order in lane.orders.values()]
    kept += [marker.event.occurred_at for marker in islice(lane.finished.values(), 1)]
    left = min((one - oldest_kept for one in kept), default=None)
    return inf if left is None else now.seconds + max(left.total_seconds(), 1.0)
