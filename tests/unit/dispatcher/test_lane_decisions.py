"""Drafts: what the batcher's and the API's words make of a lane, its jobs and what is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from msgspec import UNSET
from msgspec.structs import replace as with_fields
from pyroaring import BitMap
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    NOW,
    OTHER_JOB,
    TERMS,
    completed,
    draft,
    lane,
    members,
    policy,
    ready,
    requested,
    settled,
    url,
)

from imagelane.contracts.codec import encode
from imagelane.contracts.events import CallCompleted, CallHinted, JobRecorded, LaneTold
from imagelane.contracts.image_sets import UnreadableImageSetError, pack
from imagelane.contracts.parts import ImageSet, JobOutcome, ReadyImages
from imagelane.dispatcher.core.answers import Accepted, Call, CallStatus, Found, Refused
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.lane import hold
from imagelane.dispatcher.core.outcomes import JobOutcomes
from imagelane.dispatcher.core.plan import Terms, UnplannableError
from imagelane.dispatcher.core.policy import Policy
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit
from imagelane.dispatcher.core.telling import MAX_RECORD_BYTES, in_records


class Lane:
    """One customer's lane, decided draft by draft, each of them durable."""

    def __init__(self, of: Policy | None = None, terms: Terms = TERMS) -> None:
        self.book = Book()
        self.policy = of or policy()
        self.terms = terms
        self.seqs = count(1)

    def draft(self) -> Draft:
        return replace(draft(self.book, self.policy), terms=self.terms)

    def request(self, *jobs: ReadyImages) -> Draft:
        made = self.draft()
        made.request(requested(next(self.seqs), *jobs))
        made.apply()
        return made

    def done(self, answer: Answer) -> Draft:
        made = self.draft()
        made.step_done(ACME, self.book.pursuits[ACME], answer)
        made.apply()
        return made

    def running(self, *jobs: ReadyImages) -> Lane:
        """With a call that the API has accepted."""
        self.request(*jobs)
        self.done(None)
        self.done(Accepted(Call("b-1", CallStatus.ACTIVE)))
        return self

    def ended(self, status: CallStatus, *failed: str) -> CallCompleted:
        """The answer when the call ends like this."""
        made = self.done(Found(Call("b-1", status, failed_urls=frozenset(failed))))
        (answer,) = made.told
        assert isinstance(answer, CallCompleted)
        return answer

    def refused(self, *named: str) -> CallCompleted:
        """The answer when the plan is refused like this."""
        self.done(None)
        (answer,) = self.done(Refused("bad", frozenset(named))).told
        assert isinstance(answer, CallCompleted)
        assert self.book.lanes[ACME].state == "idle"
        return answer

    def outcomes(self, job: str = JOB) -> JobOutcomes:
        return self.book.jobs.get((ACME, job), JobOutcomes())


def parts(outcome: JobOutcome) -> tuple[list[int], list[int], list[int]]:
    return members(outcome.delivered), members(outcome.failed), members(outcome.returned)


class TestRequest:
    def test_the_next_request_of_an_idle_lane_becomes_its_plan(self) -> None:
        made = Lane().request(ready([1, 2]))
        assert made.lane(ACME).state == "planned"
        assert made.pursuit(ACME) == Pursuit(Kind.ATTEMPT)
        assert made.records() == [made.lane(ACME)]
        assert made.told == []

    @pytest.mark.parametrize("seq", [1, 2, 9])
    def test_a_busy_lane_answers_every_request_with_the_truth(self, seq: int) -> None:
        one = Lane()
        one.request(ready([1, 2]))
        made = one.draft()
        made.request(requested(seq, ready([1]), ready([3], OTHER_JOB), ready([2])))
        assert made.records() == []
        truths = [told for told in made.told if isinstance(told, LaneTold)]
        assert [told.job.job_id if told.job else None for told in truths] == [JOB, OTHER_JOB, None]
        assert {(told.last_seq, told.busy) for told in truths} == {(1, True)}
        assert [told.answers for told in truths] == [UNSET, UNSET, seq]

    def test_a_repeated_request_within_one_transaction_is_planned_once(self) -> None:
        made = draft()
        made.request(requested(1, ready([1])))
        made.request(requested(1, ready([1])))
        assert len(made.records()) == 1
        assert [type(told) for told in made.told] == [LaneTold, LaneTold]

    @pytest.mark.parametrize("seq", [1, 3, 7])
    def test_another_seq_than_the_next_is_answered_with_the_truth(self, seq: int) -> None:
        one = Lane().running(ready([1]))
        answer = one.ended(CallStatus.COMPLETED)
        made = one.draft()
        made.request(requested(seq, ready([1, 2])))
        truth, *again, closing = made.told
        assert isinstance(truth, LaneTold)
        assert truth.job
        assert members(truth.job.delivered) == [1]
        assert again == ([answer] if seq == 1 else [])
        assert isinstance(closing, LaneTold)
        assert (closing.answers, closing.last_seq, closing.busy) == (seq, 1, False)
        assert made.records() == []

    def test_nothing_left_to_send_consumes_no_seq(self) -> None:
        one = Lane().running(ready([1, 2]))
        one.ended(CallStatus.COMPLETED)
        made = one.request(ready([1, 2]))
        assert made.records() == []
        assert one.book.lanes[ACME].last_seq == 1
        closing = made.told[-1]
        assert isinstance(closing, LaneTold)
        assert (closing.answers, closing.last_seq) == (2, 1)

    def test_what_cannot_be_read_or_planned_changes_nothing(self) -> None:
        made = draft()
        broken = ImageSet(count=3, bitmap=ready([1]).images.bitmap)
        with pytest.raises(UnreadableImageSetError):
            made.request(requested(1, ready([1]), with_fields(ready([2]), images=broken)))
        with pytest.raises(UnplannableError):
            made.request(requested(1, ready([1], destination="nowhere")))
        assert (made.records(), made.told, made.pursuits) == ([], [], {})

    def test_a_plan_too_large_for_the_log_is_refused_with_a_hint(self) -> None:
        # Runs are short, but what remains of them between images with an outcome is not.
        one = Lane()
        jobs = [f"{number:a>32}".translate(str.maketrans("0189", "klmn")) for number in range(90)]
        for job in jobs:
            one.book.jobs[ACME, job] = JobOutcomes(delivered=BitMap(range(0, 65_536, 2)))
        made = one.request(*(ready(range(65_536), job) for job in jobs))
        assert made.lane(ACME).state == "idle"
        assert made.lane(ACME).last_seq == 1
        assert made.lane(ACME).last_answer is UNSET  # that would not fit either
        assert len(made.told) > 1
        for told in made.told:
            assert isinstance(told, CallCompleted)
            assert (told.status, told.max_images) == ("refused", 90 * 32_768 // 2)
            assert len(encode(told)) <= MAX_RECORD_BYTES
        returned = [
            job for told in made.told if isinstance(told, CallCompleted) for job in told.jobs
        ]
        assert [job.job_id for job in returned] == jobs


class TestSettle:
    def test_what_is_not_planned_gets_its_outcome_and_the_truth_is_told(self) -> None:
        one = Lane()
        one.request(ready([1, 2]))
        made = one.draft()
        made.settle(settled(failed=[2, 3], cancelled=[4]))
        made.apply()
        assert one.outcomes() == JobOutcomes(failed=BitMap([3]), cancelled=BitMap([4]))
        (record,) = made.records()
        assert isinstance(record, JobRecorded)
        (told,) = made.told
        assert isinstance(told, LaneTold)
        assert told.job
        assert (members(told.job.failed), members(told.job.cancelled)) == ([3], [4])
        assert (told.busy, told.answers) == (True, UNSET)

    def test_settling_again_only_tells_again(self) -> None:
        one = Lane()
        first = one.draft()
        first.settle(settled(failed=[3]))
        first.apply()
        made = one.draft()
        made.settle(settled(failed=[3]))
        assert (made.records(), len(made.told)) == ([], 1)

    def test_all_that_is_settled_in_one_transaction_counts(self) -> None:
        one = Lane()
        one.book.jobs[ACME, JOB] = JobOutcomes(delivered=BitMap([9]))
        made = one.draft()
        made.settle(settled(failed=[3]))
        made.settle(settled(failed=[4]))
        made.apply()
        assert one.outcomes() == JobOutcomes(delivered=BitMap([9]), failed=BitMap([3, 4]))

    def test_a_settled_image_is_not_sent(self) -> None:
        one = Lane()
        made = one.draft()
        made.settle(settled(cancelled=[1]))
        made.apply()
        plan = one.request(ready([1, 2])).lane(ACME).plan
        assert plan
        assert members(plan.jobs[0].images) == [2]


class TestEnd:
    def test_a_completed_call_delivers_all_its_images(self) -> None:
        one = Lane().running(ready([1, 2]), ready([1], OTHER_JOB))
        answer = one.ended(CallStatus.COMPLETED)
        assert (answer.status, answer.seq, answer.last_seq, answer.images) == ("completed", 1, 1, 3)
        assert (answer.call_id, answer.started_at) == ("b-1", NOW)
        assert [parts(job) for job in answer.jobs] == [([1, 2], [], []), ([1], [], [])]
        assert one.outcomes() == JobOutcomes(delivered=BitMap([1, 2]))
        assert one.book.pursuits == {}

    def test_named_images_of_a_partly_failed_call_fail(self) -> None:
        one = Lane().running(ready([1, 2, 3]))
        answer = one.ended(CallStatus.PARTIAL, url(2), "https://not.ours/")
        assert (answer.status, parts(answer.jobs[0])) == ("partial", ([1, 3], [2], []))
        assert one.outcomes() == JobOutcomes(delivered=BitMap([1, 3]), failed=BitMap([2]))

    def test_a_completed_call_that_names_failures_has_failed_in_part(self) -> None:
        answer = Lane().running(ready([1, 2])).ended(CallStatus.COMPLETED, url(2))
        assert (answer.status, parts(answer.jobs[0])) == ("partial", ([1], [2], []))

    def test_all_images_of_a_failed_call_fail(self) -> None:
        answer = Lane().running(ready([1, 2])).ended(CallStatus.FAILED, url(2))
        assert (answer.status, parts(answer.jobs[0])) == ("failed", ([], [1, 2], []))

    def test_failed_images_return_while_they_have_attempts(self) -> None:
        one = Lane(policy(item_attempts=2))
        first = one.running(ready([1, 2])).ended(CallStatus.PARTIAL, url(2))
        second = one.running(ready([2, 3])).ended(CallStatus.FAILED)
        assert parts(first.jobs[0]) == ([1], [], [2])
        assert parts(second.jobs[0]) == ([], [2], [3])
        assert one.outcomes() == JobOutcomes(
            delivered=BitMap([1]), failed=BitMap([2]), resent={1: BitMap([3])}
        )

    def test_a_partly_failed_call_that_names_none_of_ours_is_held(self) -> None:
        one = Lane().running(ready([1, 2]))
        made = one.done(Found(Call("b-1", CallStatus.PARTIAL, failed_urls=frozenset({"x"}))))
        assert made.lane(ACME).state == "held"
        assert "names no image of ours" in str(made.lane(ACME).hold_reason)
        assert made.told == []
        assert one.book.pursuits[ACME] == Pursuit(Kind.LOOK, 60.0)
        answer = one.ended(CallStatus.PARTIAL, url(1))  # the API has made up its mind
        assert parts(answer.jobs[0]) == ([2], [1], [])

    def test_failures_that_cannot_be_told_apart_are_held(self) -> None:
        one = Lane().running(ready([1, 2]))
        one.terms = replace(TERMS, destinations={})
        made = one.done(Found(Call("b-1", CallStatus.PARTIAL, failed_urls=frozenset({url(1)}))))
        assert made.lane(ACME).state == "held"

    def test_a_refusal_fails_what_it_names_and_returns_the_rest(self) -> None:
        one = Lane()
        one.request(ready([1, 2]), ready([1], OTHER_JOB))
        answer = one.refused(url(2))
        assert (answer.status, answer.last_seq, answer.max_images) == ("refused", 1, UNSET)
        assert [parts(job) for job in answer.jobs] == [([], [2], [1]), ([], [], [1])]
        assert one.outcomes() == JobOutcomes(failed=BitMap([2]))
        assert one.outcomes(OTHER_JOB) == JobOutcomes()

    def test_a_refusal_that_names_nothing_returns_all_with_half_as_a_hint(self) -> None:
        one = Lane()
        one.request(ready(range(5)))
        answer = one.refused("https://not.ours/")
        assert (answer.max_images, parts(answer.jobs[0])) == (2, ([], [], [0, 1, 2, 3, 4]))

    def test_a_single_refused_image_fails(self) -> None:
        one = Lane()
        one.request(ready([4]))
        answer = one.refused()
        assert (answer.max_images, parts(answer.jobs[0])) == (UNSET, ([], [4], []))

    def test_a_refusal_for_which_no_image_is_at_fault_returns_even_a_single_one(self) -> None:
        one = Lane()
        one.request(ready([4]))
        one.done(None)
        (answer,) = one.done(Refused("too old", by_image=False)).told
        assert isinstance(answer, CallCompleted)
        assert (answer.status, answer.max_images) == ("refused", UNSET)
        assert parts(answer.jobs[0]) == ([], [], [4])
        assert one.outcomes() == JobOutcomes()


class TestHint:
    @pytest.mark.parametrize(
        ("call_id", "reference", "heard"),
        [("b-1", None, True), ("b-9", "ours", True), ("b-9", None, False), ("b-9", "x", False)],
    )
    def test_a_hint_for_the_awaited_call_hastens_its_look(
        self, call_id: str, reference: str | None, heard: bool
    ) -> None:
        one = Lane().running(ready([1]))
        plan = one.book.lanes[ACME].plan
        assert plan
        made = one.draft()
        made.hint(
            CallHinted(
                customer_id=ACME,
                call_id=call_id,
                occurred_at=NOW,
                reference=plan.reference if reference == "ours" else reference or UNSET,
            )
        )
        assert made.hinted == ({ACME} if heard else set())
        assert made.records() == []

    def test_a_hint_for_a_lane_without_a_waiting_look_is_nothing(self) -> None:
        one = Lane()
        hint = CallHinted(customer_id=ACME, call_id="b-1", occurred_at=NOW)
        made = one.draft()
        made.hint(hint)
        one.request(ready([1]))
        made = one.draft()
        made.hint(hint)
        assert made.hinted == set()


class TestWorker:
    def test_a_step_that_is_not_the_lanes_any_more_changes_nothing(self) -> None:
        one = Lane()
        one.request(ready([1]))
        stale = one.book.pursuits[ACME]
        one.done(None)
        made = one.draft()
        made.step_done(ACME, stale, None)
        made.step_done("nobody", stale, None)
        assert (made.records(), made.pursuits) == ([], {})

    def test_two_ends_of_one_step_in_one_transaction_count_once(self) -> None:
        one = Lane()
        one.request(ready([1]))
        made = one.draft()
        for _ in range(2):
            made.step_done(ACME, one.book.pursuits[ACME], None)
        assert made.lane(ACME).attempts == 1

    def test_an_aborted_draft_leaves_the_book_as_it_was(self) -> None:
        one = Lane()
        one.draft().request(requested(1, ready([1])))
        assert one.book == Book()

    def test_a_restored_idle_lane_tells_its_last_answer_again(self) -> None:
        one = Lane().running(ready([1]))
        answer = one.ended(CallStatus.COMPLETED)
        made = one.draft()
        made.begin(ACME)
        made.begin("nobody")
        assert (made.told, made.pursuits) == ([answer], {})

    def test_a_restored_busy_lane_goes_on(self) -> None:
        made = draft(Book(lanes={ACME: lane("submitting")}), policy("D"))
        made.begin(ACME)
        assert (made.lane(ACME).state, made.pursuits) == ("held", {ACME: None})
        made = draft(Book(lanes={ACME: hold(lane("active"), "why", NOW)}))
        made.begin(ACME)
        assert (made.records(), made.pursuits) == ([], {ACME: Pursuit(Kind.LOOK)})

    def test_the_log_folds_to_the_same_book(self) -> None:
        one, folded = Lane(policy(item_attempts=2)), Book()
        made = one.draft()
        made.settle(settled(failed=[9], cancelled=[8]))
        made.apply()
        drafts = [made, one.request(ready([1, 2])), one.done(None)]
        drafts.append(one.done(Accepted(Call("b-1", CallStatus.ACTIVE))))
        bad = Call("b-1", CallStatus.PARTIAL, failed_urls=frozenset({url(1)}))
        drafts.append(one.done(Found(bad)))
        for record in [record for made in drafts for record in made.records()]:
            folded.read(record)
        assert folded == one.book


def test_an_answer_is_split_where_it_would_not_fit() -> None:
    jobs = [
        JobOutcome(job_id=JOB, delivered=pack(range(0, 65_536, 2)), failed=pack([1]))
        for _ in range(200)
    ]
    answer = with_fields(completed(), jobs=jobs)
    records = list(in_records(answer))
    assert len(records) > 1
    assert [job for one in records for job in one.jobs] == jobs
    assert all(len(encode(one)) <= MAX_RECORD_BYTES for one in records)
    assert list(in_records(completed())) == [completed()]
