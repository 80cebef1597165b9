"""A customer's lane: its jobs, its open request, and what events do to them.

The dispatcher is the authority on what became of every image, and on the call that runs. This side
proposes, and may repeat itself, forget or be wrong without harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from msgspec import UNSET
from pyroaring import BitMap

from imagelane.batcher.core.job import Job, Outcome
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import Rules, doubled, limit_after
from imagelane.contracts import events as e
from imagelane.contracts.commands import CancelJob


@dataclass(slots=True)
class OpenRequest:
    """A request that is not answered yet; sent (again) when it is due."""

    event: e.BatchRequested
    due_seconds: float
    tries: int = 0


@dataclass(slots=True)
class OpenSettle:
    """Jobs of which images were settled and whose outcome has not been told yet."""

    asked: dict[str, BitMap]
    due_seconds: float


@dataclass(slots=True)
class FinishedJob:
    """A job that is over, kept as a marker so that a replay does not begin it again."""

    event: e.JobFinished
    keys: list[bytes]
    told: bool = False


@dataclass(slots=True)
class Lane:
    """One customer's lane."""

    customer_id: str
    rules: Rules
    last_seq: int = 0
    """The newest call that the dispatcher has told of. Only grows."""
    open: OpenRequest | None = None
    limit: int | None = None
    warm: bool = False
    busy_until_seconds: float = -inf
    """Another call than the open request runs: its end is awaited, but not for ever."""
    fruitless: int = 0
    answered_seconds: float = 0.0
    waiting_since_seconds: float | None = None
    settle: OpenSettle | None = None
    settle_tries: int = 0
    settle_not_before_seconds: float = -inf
    jobs: dict[str, Job] = field(default_factory=dict)
    finished: dict[str, FinishedJob] = field(default_factory=dict)
    """Oldest first."""
    markers: list[FinishedJob] = field(default_factory=list)
    """Those of `finished` that the table, or the world, does not know of yet."""
    is_dirty: bool = False
    wake_at_seconds: float = inf
    is_ticked: bool = False

    @property
    def is_over(self) -> bool:
        """Nothing is left that would be missed."""
        return not (self.jobs or self.finished or self.open)

    def job(self, job_id: str, heard_at: datetime, now: Moment) -> Job | None:
        """The job, unless it is over, or unknown and so old that it must have been over."""
        if job_id in self.finished:
            return None
        job = self.jobs.get(job_id)
        if job is None and now.at - heard_at < self.rules.retention:
            job = Job(job_id, seen_at=heard_at, moved_seconds=now.seconds)
            self.jobs[job_id] = job
        return job

    def fold_image(self, event: e.ImageProcessed, now: Moment) -> None:
        """An image came to the end of the road."""
        if job := self.job(event.job_id, event.occurred_at, now):
            news = job.learn(event.recipe, event.destination)
            if job.hear(event.index, ok=event.status == "ok") or news:
                _moved(job, now)

    def fold_job(self, event: e.JobAccepted | e.JobSealed, now: Moment) -> None:
        """What a job is, and how many images it has."""
        if job := self.job(event.job_id, event.occurred_at, now):
            images = event.images if isinstance(event, e.JobSealed) else None
            if job.learn(event.recipe, event.destination, images):
                _moved(job, now)

    def fold_cancel(self, event: CancelJob, now: Moment) -> None:
        """A person wants no more of the job in calls."""
        job = self.job(event.job_id, event.occurred_at, now)
        if job and job.cancel():
            _moved(job, now)

    def fold_completed(self, event: e.CallCompleted, now: Moment) -> None:
        """What a call did. Raises `UnreadableImageSetError` before anything has changed."""
        outcomes = [Outcome.of(one) for one in event.jobs]
        for one in outcomes:
            self._fold_outcome(one, event.occurred_at, now)
        self._hear_seq(max(event.seq, event.last_seq))
        self.busy_until_seconds = self.settle_not_before_seconds = -inf
        # `last_seq` may be a call that still runs, `seq` has ended, and so has all before it.
        if self.open and (self.open.event.seq < event.last_seq or self.open.event.seq <= event.seq):
            if self.open.event.seq == event.seq:
                self._doubt_what_is_unmentioned(outcomes)
                hint = None if event.max_images is UNSET else event.max_images
                self.limit = limit_after(self.limit, hint)
                decided = any(one.delivered or one.failed or one.cancelled for one in outcomes)
                self.fruitless = 0 if decided or hint is not None else self.fruitless + 1
            self._answered(now)

    def fold_told(self, event: e.LaneTold, now: Moment) -> None:
        """The truth about the lane, or a job. Raises `UnreadableImageSetError` before any change."""
        if event.job is not UNSET:
            outcome = Outcome.of(event.job)
            self._fold_outcome(outcome, event.occurred_at, now)
            self._told(outcome.job_id, now)
        self._hear_seq(event.last_seq)
        if self.open is None or event.answers != self.open.event.seq:
            return
        if event.busy and event.last_seq == self.open.event.seq:
            self.open.due_seconds = now.seconds + self._resend_seconds(self.open.tries)
        elif event.last_seq + 1 >= self.open.event.seq:
            self._answered(now)
            if event.busy:
                self.busy_until_seconds = now.seconds + self.rules.resend_after_seconds
        # Else the dispatcher stands far before our seq: an old answer, or it has lost its log.
        # In doubt nothing new is sent; the request is repeated when it is due.

    def _fold_outcome(self, outcome: Outcome, told_at: datetime, now: Moment) -> None:
        job = self.job(outcome.job_id, told_at, now)
        if job and job.decide(outcome):
            _moved(job, now)

    def _told(self, job_id: str, now: Moment) -> None:
        job = self.jobs.get(job_id)
        if job:
            job.in_doubt, job.is_told = False, True
        if self.settle is None or job_id not in self.settle.asked:
            return
        asked = self.settle.asked.pop(job_id)
        if job and asked & (job.broken | job.void):
            # They are in a plan that runs, so its end decides.
            self.settle_not_before_seconds = now.seconds + self.rules.resend_after_seconds
        if not self.settle.asked:
            self.settle, self.settle_tries = None, 0

    def _hear_seq(self, seq: int) -> None:
        if seq > self.last_seq:
            self.last_seq, self.is_dirty = seq, True

    def _doubt_what_is_unmentioned(self, outcomes: list[Outcome]) -> None:
        """An answer that neither decides nor returns an image left it out: it may be decided long ago."""
        returned = {one.job_id: one.returned for one in outcomes}
        for job in self.jobs.values():
            if job.held - returned.get(job.job_id, BitMap()):
                job.in_doubt = True

    def _answered(self, now: Moment) -> None:
        for job in self.jobs.values():
            job.release()
        self.open, self.is_dirty = None, True
        self.warm, self.answered_seconds = True, now.seconds

    def _resend_seconds(self, tries: int) -> float:
        return doubled(self.rules.resend_after_seconds, tries)


def _moved(job: Job, now: Moment) -> None:
    job.moved_seconds, job.stalls, job.is_told = now.seconds, 0, False
