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

from imagelane.batcher.core import job_life
from imagelane.batcher.core.job import Job, Outcome
from imagelane.batcher.core.job_life import CutReason
from imagelane.batcher.core.lane_life import TRANSITIONS, Move, State
from imagelane.batcher.core.moment import Moment
from imagelane.batcher.core.policy import Rules, doubled, limit_after
from imagelane.batcher.core.states import after
from imagelane.contracts import commands as c
from imagelane.contracts import events as e

Command = c.CancelJob | c.DeleteJob | c.CancelCustomer | c.DeleteCustomer


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
    state: job_life.State = "finished"

    @property
    def is_told(self) -> bool:
        """Everybody knows: the event is durable."""
        return self.state == "told"

    def move(self, move: job_life.Move) -> None:
        """Takes the job on in its life. Raises `IllegalMoveError`."""
        self.state = after(job_life.TRANSITIONS, self.state, move)


@dataclass(slots=True)
class CustomerOrder:
    """A person's decision about all jobs of the customer that were handed in by `until`."""

    until: datetime
    keys: list[bytes] = field(default_factory=list)
    is_fresh: bool = False
    """It is not in the table yet."""


@dataclass(slots=True)
class Lane:
    """One customer's lane."""

    customer_id: str
    rules: Rules
    last_seq: int = 0
    """The newest call that the dispatcher has told of. Only grows."""
    open: OpenRequest | None = None
    limit: int | None = None
    state: State = "idle"
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
    told_again: list[e.JobFinished] = field(default_factory=list)
    orders: dict[CutReason, CustomerOrder] = field(default_factory=dict)
    """The newest of each kind; what is decided later includes what was decided before."""
    is_dirty: bool = False
    wake_at_seconds: float = inf
    is_ticked: bool = False

    @property
    def is_over(self) -> bool:
        """Nothing is left that would be missed."""
        return not (self.jobs or self.finished or self.open or self.orders)

    def move(self, move: Move) -> None:
        """Takes the lane on. Raises `IllegalMoveError`."""
        self.state = after(TRANSITIONS, self.state, move)

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
        """What a job is, when it was handed in, and how many images it has."""
        if marker := self.finished.get(event.job_id):
            self._remind(marker, event)
            return
        job = self.job(event.job_id, event.occurred_at, now)
        if job is None:
            return
        images = event.images if isinstance(event, e.JobSealed) else None
        news = job.learn(event.recipe, event.destination, images)
        job.date(_handed_in(event), None if event.deadline is UNSET else event.deadline)
        if self._obey(job) or news:
            _moved(job, now)

    def _remind(self, marker: FinishedJob, event: e.JobAccepted | e.JobSealed) -> None:
        """Whoever seals a job after its end has not heard of that, and would wait for ever."""
        is_late = event.occurred_at > marker.event.occurred_at
        if isinstance(event, e.JobSealed) and is_late and marker.is_told:
            marker.move(job_life.Move.REMIND)
            self.told_again.append(marker.event)

    def fold_command(self, event: Command, now: Moment) -> None:
        """A person wants no more of the job, or of the customer's jobs, in calls."""
        if isinstance(event, c.CancelCustomer | c.DeleteCustomer):
            self._fold_order(event, now)
            return
        job = self.job(event.job_id, event.occurred_at, now)
        if job and job.cut("delete" if isinstance(event, c.DeleteJob) else "cancel"):
            _moved(job, now)

    def _fold_order(self, event: c.CancelCustomer | c.DeleteCustomer, now: Moment) -> None:
        """It holds for every job that was handed in no later than the command was given.

        So for one that is heard of only afterwards, too: times are compared, whatever comes first.
        """
        if now.at - event.occurred_at >= self.rules.retention:
            return
        reason: CutReason = "delete" if isinstance(event, c.DeleteCustomer) else "cancel"
        order = self.orders.setdefault(reason, CustomerOrder(event.occurred_at, is_fresh=True))
        if event.occurred_at > order.until:
            order.until, order.is_fresh = event.occurred_at, True
        for job in self.jobs.values():
            if self._obey(job):
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

    def _obey(self, job: Job) -> bool:
        """Whether an order about the customer has just cut the job short."""
        obeyed = False
        for reason, order in self.orders.items():
            if job.handed_in_at is not None and job.handed_in_at <= order.until:
                obeyed |= job.cut(reason)
        return obeyed

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
        self.move(Move.ANSWER)
        self.open, self.is_dirty = None, True
        self.answered_seconds = now.seconds

    def _resend_seconds(self, tries: int) -> float:
        return doubled(self.rules.resend_after_seconds, tries)


def _handed_in(event: e.JobAccepted | e.JobSealed) -> datetime | None:
    if event.handed_in_at is not UNSET:
        return event.handed_in_at
    # Where nobody says better: it was accepted a moment after it was handed in.
    return event.occurred_at if isinstance(event, e.JobAccepted) else None


def _moved(job: Job, now: Moment) -> None:
    job.moved_seconds, job.stalls, job.is_told = now.seconds, 0, False
