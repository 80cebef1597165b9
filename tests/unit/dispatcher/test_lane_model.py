"""The lane's promises against a model of an API of level A, whose journal is the judge.

Replies are lost, requests arrive late or from workers that were thought dead, transactions abort,
workers restart from the log, lists lag, foreign calls get in the way, and the batcher asks for anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    NOW,
    OTHER_JOB,
    TERMS,
    policy,
    ready,
    requested,
    settled,
    url,
)

from imagelane.contracts.codec import decode, encode
from imagelane.contracts.events import CallCompleted, CallHinted, LaneTold
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.topics import CALLS
from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.lane import is_busy, plan_of
from imagelane.dispatcher.core.outcomes import JobOutcomes
from imagelane.dispatcher.core.plan import body_of, urls_of
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit

pytestmark = pytest.mark.slow

IMAGES = range(6)
URLS = {url(index, job): (job, index) for job in (JOB, OTHER_JOB) for index in IMAGES}
FATES = ("ok", "ok", "ok", "lost", "late", "gone", "unsent", "later", "denied", "refused")
some_images = st.sets(st.sampled_from(IMAGES), min_size=1)


@dataclass
class Batch:
    """A call in the API's journal."""

    id: str
    reference: str
    body: bytes
    urls: frozenset[str]
    status: a.CallStatus = a.CallStatus.ACTIVE
    failed: frozenset[str] = frozenset()

    def shown(self) -> a.Call:
        return a.Call(self.id, self.status, self.reference, self.failed)

    @property
    def taken(self) -> frozenset[str]:
        """What the API has taken, or may still take."""
        if self.status is a.CallStatus.FAILED:
            return frozenset()
        return self.urls - self.failed


@dataclass(frozen=True)
class Request:
    """A request for a new call, on its way."""

    reference: str
    body: bytes
    urls: frozenset[str]


@dataclass
class Api:
    """Level A: one active call, keys are honoured forever. `bad` URLs are refused by name."""

    journal: list[Batch] = field(default_factory=list)
    bad: frozenset[str] = frozenset()

    @property
    def active(self) -> Batch | None:
        return next((one for one in self.journal if one.status is a.CallStatus.ACTIVE), None)

    def post(self, request: Request) -> a.StartAnswer:
        known = [one for one in self.journal if one.reference == request.reference]
        if known:
            assert known[0].body == request.body, "one key came with two bodies"
            return a.Accepted(known[0].shown())
        if request.urls & self.bad:
            return a.Refused("bad URLs", request.urls & self.bad)
        if self.active is not None:
            return a.Busy(self.active.shown())
        batch = Batch(f"b-{len(self.journal)}", request.reference, request.body, request.urls)
        self.journal.append(batch)
        return a.Accepted(batch.shown())

    def get(self, call_id: str) -> a.LookAnswer:
        return next(
            (a.Found(one.shown()) for one in self.journal if one.id == call_id), a.NotFound()
        )

    def find(self, reference: str) -> a.LookAnswer:
        found = [one for one in self.journal if one.reference == reference]
        return a.Found(found[0].shown()) if found else a.NotFound()


class LaneModel(RuleBasedStateMachine):
    item_attempts = 1

    def __init__(self) -> None:
        super().__init__()
        self.api = Api()
        self.log: list[bytes] = []
        self.late: list[Request] = []
        self.book = Book()
        self.old_steps: list[Pursuit] = []
        self.now = NOW
        self.told: list[CallCompleted | LaneTold] = []
        self.settled: set[tuple[str, int]] = set()

    # What the batcher and the webhooks say

    @rule(seq=st.integers(-1, 2), one=some_images, other=some_images, aborts=st.booleans())
    def request(self, seq: int, one: set[int], other: set[int], aborts: bool) -> None:
        wanted = max(1, self.lane_seq + seq)
        draft = self.draft()
        draft.request(requested(wanted, ready(one), ready(other, OTHER_JOB)))
        self.commit(draft, aborts=aborts)

    @rule(one=some_images)
    def next_request(self, one: set[int]) -> None:
        draft = self.draft()
        draft.request(requested(self.lane_seq + 1, ready(one)))
        self.commit(draft)

    @rule(failed=some_images, cancelled=some_images, aborts=st.booleans())
    def settle(self, failed: set[int], cancelled: set[int], aborts: bool) -> None:
        draft = self.draft()
        draft.settle(settled(failed, cancelled))
        before = self.book.jobs.get((ACME, JOB), JobOutcomes()).decided
        self.commit(draft, aborts=aborts)
        after = self.book.jobs.get((ACME, JOB), JobOutcomes()).decided
        self.settled |= {(JOB, index) for index in after - before}

    @rule(call_id=st.sampled_from(["b-0", "b-1", "forged"]))
    def webhook(self, call_id: str) -> None:
        draft = self.draft()
        draft.hint(CallHinted(customer_id=ACME, call_id=call_id, occurred_at=self.now))
        self.commit(draft)
        assert draft.records() == []

    # What the worker does, and what happens to it

    @rule(fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=6))
    def steps(self, fates: list[str]) -> None:
        for fate in fates:
            pursuit = self.pursuit
            if pursuit is not None:
                self.old_steps.append(pursuit)
                self.done(pursuit, self.answer(pursuit, fate))

    @precondition(lambda self: bool(self.old_steps))
    @rule(at=st.integers(0, 1_000))
    def an_old_step_ends(self, at: int) -> None:
        old = self.old_steps[at % len(self.old_steps)]
        looked = a.Found(a.Call("b-0", a.CallStatus.COMPLETED))
        answers: dict[Kind, Answer] = {
            Kind.ATTEMPT: None,
            Kind.SEND: a.Accepted(a.Call("b-0", a.CallStatus.ACTIVE)),
        }
        self.done(old, answers.get(old.kind, looked))

    @rule()
    def restart(self) -> None:
        self.restore()

    @precondition(lambda self: self.pursuit is not None)
    @rule(copies=st.integers(0, 2))
    def die_while_sending(self, copies: int) -> None:
        """The worker dies, or only seems to: its request may still be sent, even twice."""
        pursuit = self.pursuit
        if pursuit is not None and pursuit.kind is Kind.ATTEMPT:
            self.done(pursuit, None)
            self.late += [self.planned_request()] * copies
        self.restore()

    @rule(seconds=st.integers(-100_000, 100_000))
    def clock_jumps(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # What happens at the API

    @precondition(lambda self: bool(self.late))
    @rule(data=st.data())
    def a_late_request_arrives(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.late) - 1))
        self.api.post(self.late.pop(at))

    @precondition(lambda self: self.api.active is not None)
    @rule(status=st.sampled_from(["completed", "partial", "failed"]), bad=some_images)
    def a_call_ends(self, status: str, bad: set[int]) -> None:
        batch = self.api.active
        assert batch is not None
        failed = frozenset(sorted(batch.urls)[index] for index in bad if index < len(batch.urls))
        batch.status = a.CallStatus(status)
        batch.failed = failed if batch.status is a.CallStatus.PARTIAL else frozenset()
        if batch.status is a.CallStatus.PARTIAL and not batch.failed:
            batch.status = a.CallStatus.COMPLETED

    @precondition(lambda self: self.api.active is None)
    @rule()
    def somebody_else_starts_a_call(self) -> None:
        self.api.post(Request(f"theirs-{len(self.api.journal)}", b"", frozenset()))

    @rule(bad=st.sets(st.sampled_from(sorted(URLS)), max_size=2))
    def the_api_takes_a_dislike(self, bad: set[str]) -> None:
        self.api.bad = frozenset(bad)

    # What must hold, by the API's own journal

    @invariant()
    def no_image_is_in_two_calls(self) -> None:
        taken = [one for batch in self.api.journal for one in batch.taken]
        assert len(taken) == len(set(taken))

    @invariant()
    def an_outcome_is_what_the_journal_says(self) -> None:
        ended = [one for one in self.api.journal if one.status is not a.CallStatus.ACTIVE]
        taken = {URLS[one] for batch in ended for one in batch.taken}
        maybe = {URLS[one] for batch in self.api.journal for one in batch.taken}
        for (_, job_id), outcomes in self.book.jobs.items():
            assert {(job_id, index) for index in outcomes.delivered} <= taken
            lost = {(job_id, index) for index in outcomes.failed | outcomes.cancelled}
            assert not lost & maybe

    @invariant()
    def a_seq_is_in_one_call_at_most(self) -> None:
        ours = [one for one in self.api.journal if one.urls]
        assert len(ours) <= self.lane_seq
        assert len({one.reference for one in ours}) == len(ours)

    @invariant()
    def what_was_told_is_never_taken_back(self) -> None:
        delivered, failed = set(), set()
        for event in self.told:
            one = [] if isinstance(event, CallCompleted) or not event.job else [event.job]
            for job in event.jobs if isinstance(event, CallCompleted) else one:
                delivered |= {(job.job_id, index) for index in unpack(job.delivered)}
                failed |= {(job.job_id, index) for index in unpack(job.failed)}
        assert not delivered & failed

    def teardown(self) -> None:
        """Everything is mended: the lane comes to rest, and everything asked for gets its outcome."""
        self.api.bad = frozenset()
        while self.late:
            self.api.post(self.late.pop())
        self.restore()
        for _ in range(self.item_attempts + 1):
            self.come_to_rest()
            draft = self.draft()
            draft.request(requested(self.lane_seq + 1, ready(IMAGES), ready(IMAGES, OTHER_JOB)))
            self.commit(draft)
        self.come_to_rest()
        for job in (JOB, OTHER_JOB):
            assert set(self.book.jobs[ACME, job].decided) == set(IMAGES)
        self.no_image_is_in_two_calls()
        self.an_outcome_is_what_the_journal_says()

    # How it is done

    @property
    def lane_seq(self) -> int:
        return self.draft().lane(ACME).last_seq

    @property
    def pursuit(self) -> Pursuit | None:
        return self.book.pursuits.get(ACME)

    def draft(self) -> Draft:
        self.now += timedelta(seconds=1)
        rules = policy("A", item_attempts=self.item_attempts)
        return Draft(self.book, TERMS, rules, self.now, lambda: 0.5)

    def commit(self, draft: Draft, *, aborts: bool = False) -> None:
        if aborts:
            return
        self.log += [encode(record) for record in draft.records()]
        draft.apply()
        self.told += draft.told

    def restore(self) -> None:
        self.book = Book()
        for record in self.log:
            self.book.read(decode(CALLS, record))
        draft = self.draft()
        draft.begin(ACME)
        self.commit(draft)

    def done(self, pursuit: Pursuit, answer: Answer) -> None:
        draft = self.draft()
        draft.step_done(ACME, pursuit, answer)
        self.commit(draft)

    def planned_request(self) -> Request:
        plan = plan_of(self.book.lanes[ACME])
        body = body_of(ACME, plan, TERMS)
        return Request(plan.reference, body, frozenset(urls_of(plan.jobs, TERMS, plan.planned_at)))

    def answer(self, pursuit: Pursuit, fate: str) -> Answer:
        if pursuit.kind is Kind.ATTEMPT:
            return None
        if pursuit.kind is Kind.SEND:
            return self.sent(fate)
        bad_answers: dict[str, Answer] = {
            "later": a.Later(3.0),
            "denied": a.Denied("401"),
            "lost": a.Unclear("no answer came"),
            "unsent": a.Unclear("no answer came"),
            "late": a.NotFound(),  # lists and replicas lag
            "gone": a.NotFound(),
            "refused": a.Unclear("the API answered 422"),
        }
        if fate in bad_answers:
            return bad_answers[fate]
        if pursuit.kind is Kind.FIND:
            return self.api.find(plan_of(self.book.lanes[ACME]).reference)
        return self.api.get(pursuit.foreign or str(self.book.lanes[ACME].call_id))

    def sent(self, fate: str) -> a.StartAnswer:
        request = self.planned_request()
        match fate:
            case "ok":
                return self.api.post(request)
            case "unsent":
                return a.Unsent("connection refused")
            case "later":
                return a.Later()
            case "denied":
                return a.Denied("401")
            case "refused":
                return a.Refused("422 in a bad mood")
            case "lost":
                self.api.post(request)
            case "late":
                self.late.append(request)
        return a.Unclear("no answer came")

    def come_to_rest(self) -> None:
        for _ in range(40):
            pursuit = self.pursuit
            if pursuit is None:
                break
            self.done(pursuit, self.answer(pursuit, "ok"))
            active = self.api.active
            if active is not None:
                active.status = a.CallStatus.COMPLETED
        assert not is_busy(self.draft().lane(ACME))


class PatientLaneModel(LaneModel):
    item_attempts = 3


SETTINGS = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
TestLaneModel = LaneModel.TestCase
TestLaneModel.settings = SETTINGS
TestPatientLaneModel = PatientLaneModel.TestCase
TestPatientLaneModel.settings = SETTINGS
