"""Decisions about the lanes of one partition, drafted for one transaction.

A draft lays decisions over a book: what is to be written, told and done. After the transaction
`apply` makes them the book's; if it is aborted the draft is forgotten, and nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace
from pyroaring import BitMap

from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import (
    BatchRequested,
    CallCompleted,
    CallHinted,
    ImagesSettled,
    JobRecorded,
    LaneRecorded,
    LaneTold,
)
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import JobOutcome, LaneDecision, PlannedImages
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core import outcomes as o
from imagelane.dispatcher.core import pursuit as pursuing
from imagelane.dispatcher.core import resolution, telling
from imagelane.dispatcher.core.answers import Call, CallStatus, Refused
from imagelane.dispatcher.core.book import Book, JobKey
from imagelane.dispatcher.core.outliving import OUTLIVED, outlived
from imagelane.dispatcher.core.overdue import having_learned
from imagelane.dispatcher.core.plan import (
    Terms,
    freeze,
    images_of,
    is_too_large,
    is_too_old,
    still_open,
)
from imagelane.dispatcher.core.policy import Moment, Policy
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit, Verdict

EXPIRED_AT_ONCE: Final = 200
"""So many old jobs leave in one transaction at most, so that a turn stays short."""


@dataclass(frozen=True, slots=True)
class Released:
    """A person's command about a lane, and why it was not carried out: an empty string if it was."""

    command: ReleaseLane
    refusal: str


@dataclass(slots=True)
class Draft:
    """Decisions over `book` at `now`. `luck` gives random numbers from 0 to 1.

    `told`, `hinted` and `released` are for after the transaction: answers to the batcher, customers whose
    waiting step shall be done at once, and what became of people's commands.
    """

    book: Book
    terms: Terms
    policy: Policy
    now: datetime
    luck: Callable[[], float]
    lanes: dict[str, LaneRecorded] = field(default_factory=dict)
    jobs: dict[JobKey, o.JobOutcomes] = field(default_factory=dict)
    expired: list[JobKey] = field(default_factory=list)
    pursuits: dict[str, Pursuit | None] = field(default_factory=dict)
    told: list[CallCompleted | LaneTold] = field(default_factory=list)
    hinted: set[str] = field(default_factory=set)
    released: list[Released] = field(default_factory=list)

    def lane(self, customer_id: str) -> LaneRecorded:
        """The lane as it will stand after the transaction."""
        known = self.lanes.get(customer_id) or self.book.lanes.get(customer_id)
        return known or lanes.unheard_of(customer_id, self.now)

    def outcomes(self, customer_id: str, job_id: str) -> o.JobOutcomes:
        """A job's outcomes as they will stand after the transaction."""
        key = customer_id, job_id
        return self.jobs.get(key) or self.book.jobs.get(key) or o.JobOutcomes()

    def pursuit(self, customer_id: str) -> Pursuit | None:
        """The step that will be under way after the transaction."""
        if customer_id in self.pursuits:
            return self.pursuits[customer_id]
        return self.book.pursuits.get(customer_id)

    def records(self) -> list[LaneRecorded | JobRecorded]:
        """What the transaction has to write, besides the end of the `expired` jobs' records."""
        jobs = [o.to_record(*key, outcomes, self.now) for key, outcomes in self.jobs.items()]
        return [*jobs, *self.lanes.values()]

    def apply(self) -> None:
        """The transaction is durable: the draft becomes the book's."""
        self.book.lanes.update(self.lanes)
        for key, outcomes in self.jobs.items():
            self.book.remember(key, outcomes, self.now)
        for key in self.expired:
            self.book.forget(key)
        for customer_id, pursuit in self.pursuits.items():
            if pursuit is None:
                self.book.pursuits.pop(customer_id, None)
            else:
                self.book.pursuits[customer_id] = pursuit

    def begin(self, customer_id: str) -> None:
        """A restored lane goes on with its plan, or tells its last answer again; a very old one is forgotten."""
        lane = self.lane(customer_id)
        if lanes.is_busy(lane):
            self._follow(lane, pursuing.begin(lane, self._moment()))
        elif lane.last_answer is UNSET:
            return
        elif self.now - lane.occurred_at > self.policy.retention:
            self.lanes[customer_id] = replace(lane, last_answer=UNSET)
        else:
            self.told.extend(telling.in_records(lane.last_answer))

    def request(self, event: BatchRequested) -> None:
        """The batcher asks for a call. Raises `UnreadableImageSetError`, `UnplannableError`."""
        lane = self.lane(event.customer_id)
        if lanes.is_busy(lane) or event.seq != lane.last_seq + 1:
            self._tell_truth(lane, event)
            return
        outcomes_of = partial(self.outcomes, event.customer_id)
        jobs = still_open(event, lambda job_id: outcomes_of(job_id).decided)
        if not jobs:
            self._tell_truth(lane, event)
            return
        if is_too_large(jobs):
            self._refused_plan(lane, event.seq, jobs, Refused("too large to be planned"))
            return
        frozen = freeze(event, jobs, self.terms, self.now)
        planned = lanes.plan(lane, frozen, self.now)
        self._follow(lane, Verdict(Pursuit(Kind.ATTEMPT), planned))

    def settle(self, event: ImagesSettled) -> None:
        """Images have ended without a call. Raises `UnreadableImageSetError`."""
        lane = self.lane(event.customer_id)
        sets = [(job.job_id, unpack(job.failed), unpack(job.cancelled)) for job in event.jobs]
        planned = {} if lane.plan is UNSET else images_of(lane.plan.jobs)
        for job_id, failed, cancelled in sets:
            before = self.outcomes(event.customer_id, job_id)
            in_call = planned.get(job_id, BitMap())
            after = o.settled(before, failed=failed, cancelled=cancelled, planned=in_call)
            if after is not before:
                self.jobs[event.customer_id, job_id] = after
        self.told.extend(self._truth(lane, [job_id for job_id, _, _ in sets]))

    def hint(self, event: CallHinted) -> None:
        """A webhook came: do the waiting look at once, if it is for this call."""
        pursuit, lane = self.pursuit(event.customer_id), self.lane(event.customer_id)
        if pursuit is None or lane.plan is UNSET:
            return
        ours = event.call_id == lane.call_id or event.reference == lane.plan.reference
        if ours and pursuing.may_be_hastened(lane, pursuit, self._moment()):
            self.hinted.add(event.customer_id)

    def release(self, command: ReleaseLane) -> None:
        """A person has decided about a held lane. What does not fit the lane as it is changes nothing."""
        lane = self.lane(command.customer_id)
        refusal = lanes.release_refusal(lane, command)
        self.released.append(Released(command, refusal))
        if refusal:
            return
        decision = LaneDecision(
            decision=command.decision,
            decided_by=command.decided_by,
            decided_at=command.occurred_at,
            note=command.note,
        )
        if decision.decision == "retry":
            released = lanes.release(lane, decision, self.now)
            again = pursuing.begin(released, self._moment())
            self._follow(released, Verdict(again.pursuit, released))
            return
        end = resolution.of_decision(
            lane, decision, outcomes_of=partial(self.outcomes, lane.customer_id), now=self.now
        )
        self._end(lanes.resolve(lane, end.answer, self.now), end)

    def expire(self) -> None:
        """Jobs that are too old, or too many, leave, the oldest first, but for those in a plan."""
        for key, changed_at in islice(self.book.changed_at.items(), EXPIRED_AT_ONCE):
            left = len(self.book.jobs) - len(self.expired)
            if not self.policy.forgets(self.now - changed_at, left):
                return
            if key not in self.jobs and not self._is_planned(*key):
                self.expired.append(key)

    def step_done(self, customer_id: str, pursuit: Pursuit, answer: Answer) -> None:
        """A step has come to its end. One that is not the lane's any more changes nothing."""
        if self.pursuit(customer_id) is not pursuit:
            return
        lane = self.lane(customer_id)
        if pursuit.kind is Kind.ATTEMPT and is_too_old(lanes.plan_of(lane), self.terms, self.now):
            verdict = outlived(lane, pursuit, self._moment())
        else:
            verdict = pursuing.advance(lane, pursuit, answer, self._moment())
        match verdict.end:
            case None:
                self._follow(lane, verdict)
            case Refused() as refused:
                plan = lanes.plan_of(lane)
                self._refused_plan(lane, plan.seq, plan.jobs, refused)
            case call:
                self._ended_call(lane, call)

    def _moment(self) -> Moment:
        return Moment(self.now, self.luck(), self.policy)

    def _is_planned(self, customer_id: str, job_id: str) -> bool:
        plan = self.lane(customer_id).plan
        return plan is not UNSET and any(job.job_id == job_id for job in plan.jobs)

    def _follow(self, lane: LaneRecorded, verdict: Verdict) -> None:
        self.pursuits[lane.customer_id] = verdict.pursuit
        if verdict.lane is not None:
            self.lanes[lane.customer_id] = verdict.lane

    def _tell_truth(self, lane: LaneRecorded, event: BatchRequested) -> None:
        self.told.extend(self._truth(lane, [job.job_id for job in event.jobs]))
        if lane.last_answer is not UNSET and lane.last_answer.seq == event.seq:
            self.told.extend(telling.in_records(lane.last_answer))
        self.told.append(telling.closing(lane, event.seq, self.now))

    def _truth(self, lane: LaneRecorded, job_ids: list[str]) -> list[LaneTold]:
        def outcome(job_id: str) -> JobOutcome:
            return o.as_told(job_id, self.outcomes(lane.customer_id, job_id))

        return telling.truth(lane, job_ids, outcome, self.now)

    def _ended_call(self, lane: LaneRecorded, call: Call) -> None:
        try:
            end = resolution.of_call(
                lane,
                call,
                terms=self.terms,
                outcomes_of=partial(self.outcomes, lane.customer_id),
                item_attempts=self.policy.item_attempts,
                now=self.now,
            )
        except resolution.UnresolvableError as error:
            self._follow(lane, pursuing.unresolved(lane, str(error), self._moment()))
            return
        if call.status is not CallStatus.FAILED:  # how soon a call fails tells nothing
            lane = having_learned(lane, self.policy.patience, self.now)
        self._end(lanes.resolve(lane, end.answer, self.now), end)

    def _refused_plan(
        self, lane: LaneRecorded, seq: int, jobs: Sequence[PlannedImages], refused: Refused
    ) -> None:
        end = resolution.of_refusal(
            lane.customer_id,
            seq,
            jobs,
            refused,
            terms=self.terms,
            outcomes_of=partial(self.outcomes, lane.customer_id),
            now=self.now,
        )
        ended = lanes.give_up if refused is OUTLIVED else lanes.refuse
        end = resolution.Resolution(replace(end.answer, decision=lane.decision), end.jobs)
        self._end(ended(lane, end.answer, self.now), end)

    def _end(self, lane: LaneRecorded, end: resolution.Resolution) -> None:
        for job_id, outcomes in end.jobs.items():
            self.jobs[lane.customer_id, job_id] = outcomes
        self.lanes[lane.customer_id] = telling.without_large_answer(lane)
        self.pursuits[lane.customer_id] = None
        self.told.extend(telling.in_records(end.answer))
