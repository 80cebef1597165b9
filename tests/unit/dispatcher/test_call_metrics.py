"""What the dispatcher counts of calls, holds and the batch API's answers."""

from __future__ import annotations

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from tests.unit.dispatcher.conftest import ACME, NOW, draft

from imagelane.contracts.events import CallCompleted, LaneRecorded
from imagelane.dispatcher.core import holds
from imagelane.dispatcher.core.answers import Found, NotFound, Unclear
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.lane import State
from imagelane.dispatcher.core.step import Kind
from imagelane.dispatcher.metrics import ANSWERS, KINDS, count_answer, measure, word_of
from imagelane.dispatcher.reporting import report


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"imagelane_dispatcher_{name}", labels) or 0.0


@pytest.mark.parametrize("kind", holds.HOLDS)
def test_a_hold_s_reason_tells_its_kind(kind: str) -> None:
    reason = holds.HOLDS[kind].reason("a detail (with brackets). And more")
    assert holds.kind_of(reason) == kind


def test_a_reason_of_another_version_is_of_no_kind() -> None:
    assert holds.kind_of("the moon is full") == holds.OTHER
    assert holds.kind_of("") == holds.OTHER


def test_a_kind_is_one_word_as_a_label() -> None:
    assert all(word.replace("_", "").isalpha() for word in KINDS.values())
    assert len(set(KINDS.values())) == len(KINDS)


def test_an_answer_is_counted_by_its_step_and_meaning() -> None:
    assert [word_of(one) for one in (Found, NotFound)] == ["found", "not_found"]
    before = told("requests_total", step="send", answer="unclear")
    count_answer(Kind.SEND, Unclear("a reset"), 0.3)
    assert told("requests_total", step="send", answer="unclear") - before == 1


def test_every_answer_is_there_before_the_first_of_its_kind() -> None:
    name = "imagelane_dispatcher_requests_total"
    for step, answers in ANSWERS.items():
        for answer in answers:
            assert REGISTRY.get_sample_value(name, {"step": step, "answer": answer}) is not None
    assert REGISTRY.get_sample_value(name, {"step": "look", "answer": "unsent"}) is None


def drafted(lane: LaneRecorded) -> Draft:
    made = draft()
    made.lanes[lane.customer_id] = lane
    return made


def test_a_call_s_end_is_counted_with_its_images_and_its_time() -> None:
    answer = CallCompleted(
        customer_id=ACME,
        seq=3,
        last_seq=3,
        status="completed",
        images=70,
        jobs=[],
        occurred_at=NOW,
        started_at=NOW - timedelta(seconds=40),
    )
    before = [
        told("ended_calls_total", status="completed"),
        told("ended_images_total", status="completed"),
        told("call_seconds_sum"),
    ]
    idle = LaneRecorded(
        customer_id=ACME, state="idle", last_seq=3, occurred_at=NOW, last_answer=answer
    )
    report(drafted(idle))
    assert [
        told("ended_calls_total", status="completed") - before[0],
        told("ended_images_total", status="completed") - before[1],
        told("call_seconds_sum") - before[2],
    ] == [1, 70, 40]


def test_a_hold_is_counted_once_and_shown_for_as_long_as_it_lasts() -> None:
    held = LaneRecorded(
        customer_id=ACME,
        state="held",
        last_seq=3,
        occurred_at=NOW,
        hold_reason=holds.DENIED.reason("401"),
        held_since=NOW,
    )
    before = told("holds_total", kind="denied")
    report(drafted(held))
    assert told("holds_total", kind="denied") - before == 1
    book = Book()
    book.lanes[ACME] = held
    measure([book], NOW)
    assert told("held_lanes", kind="denied") == told("lanes", state="held") == 1
    measure([Book()], NOW)
    assert told("held_lanes", kind="denied") == told("lanes", state="held") == 0


def test_the_oldest_active_call_tells_its_age() -> None:
    book = Book()
    for customer, minutes in (("acme", 5), ("other", 50), ("third", 1)):
        since = NOW - timedelta(minutes=minutes)
        state: State = "held" if customer == "other" else "active"
        book.lanes[customer] = LaneRecorded(
            customer_id=customer, state=state, last_seq=1, occurred_at=NOW, active_since=since
        )
    measure([book], NOW)
    assert told("oldest_call_seconds") == 300.0
    measure([Book()], NOW)
    assert told("oldest_call_seconds") == 0.0
