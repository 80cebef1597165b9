"""A person decides about a held lane: what that makes of the lane, its images and what is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from msgspec import UNSET
from msgspec.structs import replace as with_fields
from pyroaring import BitMap
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    LATER,
    NOW,
    draft,
    lane,
    members,
    policy,
    ready,
    release,
    requested,
)

from imagelane.contracts.events import CallCompleted
from imagelane.contracts.parts import LaneDecision
from imagelane.dispatcher.core.answers import Accepted, Call, CallStatus, Found, Unclear
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.outcomes import JobOutcomes
from imagelane.dispatcher.core.policy import Capabilities
from imagelane.dispatcher.core.step import Kind, Pursuit

RETRY = LaneDecision(decision="retry", decided_by="kim", decided_at=NOW, note="looked it up")


def held_book(capabilities: Capabilities = "D") -> Book:
    """A lane whose call's fate nobody knows, at level D: ten images of a job."""
    book = Book(lanes={ACME: lane("submitting")})
    made = draft(book, policy(capabilities))
    made.begin(ACME)
    made.apply()
    return book


def later(book: Book, capabilities: Capabilities = "D") -> Draft:
    return replace(draft(book, policy(capabilities)), now=LATER)


@pytest.mark.parametrize(
    ("decision", "status", "delivered", "failed"),
    [
        ("treat_as_done", "completed", list(range(10)), []),
        ("treat_as_failed", "failed", [], list(range(10))),
    ],
)
def test_a_person_may_say_what_became_of_the_call(
    decision: str, status: str, delivered: list[int], failed: list[int]
) -> None:
    book = held_book()
    made = later(book)
    command = with_fields(release("retry"), decision=decision)
    made.release(command)
    made.apply()
    (told,) = made.told
    assert isinstance(told, CallCompleted)
    assert (told.seq, told.last_seq, told.status, told.images) == (1, 1, status, 10)
    (job,) = told.jobs
    assert (members(job.delivered), members(job.failed), job.returned) == (delivered, failed, UNSET)
    assert told.decision
    assert (told.decision.decision, told.decision.decided_by) == (decision, "kim")
    assert book.lanes[ACME].state == "idle"
    assert book.lanes[ACME].last_answer == told
    assert book.pursuits == {}
    outcomes = JobOutcomes(delivered=BitMap(delivered), failed=BitMap(failed))
    assert book.jobs == {(ACME, JOB): outcomes}
    assert [one.refusal for one in made.released] == [""]


def test_what_is_treated_as_failed_does_not_return_for_a_later_call() -> None:
    made = replace(draft(held_book(), policy("D", item_attempts=9)), now=LATER)
    made.release(release("treat_as_failed"))
    assert made.outcomes(ACME, JOB) == JobOutcomes(failed=BitMap(range(10)))


def test_the_next_call_follows() -> None:
    book = held_book()
    made = later(book)
    made.release(release("treat_as_done"))
    made.request(requested(2, ready(range(5, 15))))
    assert made.lane(ACME).state == "planned"
    plan = made.lane(ACME).plan
    assert plan
    assert members(plan.jobs[0].images) == list(range(10, 15))


@pytest.mark.parametrize("capabilities", get_args(Capabilities))
def test_a_retry_goes_on_with_the_same_plan(capabilities: Capabilities) -> None:
    book = held_book()
    before = book.lanes[ACME]
    made = later(book, capabilities)
    made.release(release("retry"))
    made.apply()
    after = book.lanes[ACME]
    assert (after.state, after.plan, after.ambiguous) == ("planned", before.plan, True)
    assert after.decision == RETRY
    kind = Kind.ATTEMPT if capabilities == "D" else Kind.FIND
    assert book.pursuits[ACME].kind is kind
    assert made.records() == [after]
    assert made.told == []


def test_a_retry_is_told_with_the_calls_end() -> None:
    book = held_book()
    made = later(book)
    made.release(release("retry"))
    made.apply()
    running = Call("b-1", CallStatus.ACTIVE)
    for answer in (None, Accepted(running), Found(replace(running, status=CallStatus.COMPLETED))):
        made = later(book)
        made.step_done(ACME, book.pursuits[ACME], answer)
        made.apply()
    (told,) = made.told
    assert isinstance(told, CallCompleted)
    assert told.decision == RETRY
    assert book.lanes[ACME].decision is UNSET


def test_a_retry_survives_its_worker() -> None:
    book = held_book()
    made = later(book)
    made.release(release("retry"))
    restored = Book()
    for record in made.records():
        restored.read(record)
    again = later(restored)
    again.begin(ACME)
    assert (again.records(), again.pursuits) == ([], {ACME: Pursuit(Kind.ATTEMPT)})


@pytest.mark.parametrize(
    "command",
    [
        release("treat_as_done", seq=2),
        with_fields(release("retry"), customer_id="nobody"),
        with_fields(release("treat_as_failed"), occurred_at=NOW - timedelta(seconds=1)),
    ],
)
def test_a_command_that_does_not_fit_changes_nothing(command: object) -> None:
    book = held_book()
    made = later(book)
    made.release(command)  # type: ignore[arg-type] # one of three ReleaseLane
    assert (made.records(), made.told, made.pursuits, made.jobs) == ([], [], {}, {})
    assert all(one.refusal for one in made.released)


def test_the_same_command_read_twice_is_carried_out_once() -> None:
    """Even when the lane is held again meanwhile: the person has not seen that."""
    book = held_book()
    made = later(book)
    made.release(release("retry"))
    made.apply()
    made = later(book)
    made.release(release("retry"))
    assert made.released[0].refusal == "the lane is not held: it is planned, and its last call is 1"
    for answer in (None, Unclear("no answer came")):
        made = replace(later(book), now=LATER + timedelta(seconds=1))
        made.step_done(ACME, book.pursuits[ACME], answer)
        made.apply()
    assert book.lanes[ACME].state == "held"
    made = later(book)
    made.release(release("retry"))
    assert "it was decided before" in made.released[0].refusal
    assert made.records() == []
