"""Every HTTP answer of the batch API has a meaning, and none can do harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.dispatcher.core.answers import (
    Accepted,
    Busy,
    Call,
    CallStatus,
    Denied,
    Found,
    Later,
    LookAnswer,
    NotFound,
    Refused,
    StartAnswer,
    Unclear,
)
from imagelane.dispatcher.core.http_answers import (
    Expected,
    find_answer,
    look_answer,
    start_answer,
)

OURS = Expected("acme", "v1-ours")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BATCH = {"id": "b-1", "customer": "acme", "reference": "v1-ours", "status": "active", "count": 2}
CALL = Call("b-1", CallStatus.ACTIVE, "v1-ours")
FOREIGN = {**BATCH, "reference": "theirs"}


def start(status: int, body: Any, retry_after: str | None = None) -> StartAnswer:
    return start_answer(status, retry_after, raw(body), call=OURS, now=NOW)


def look(status: int, body: Any, retry_after: str | None = None) -> LookAnswer:
    return look_answer(status, retry_after, raw(body), call_id="b-1", customer_id="acme", now=NOW)


def find(status: int, body: Any, retry_after: str | None = None) -> LookAnswer:
    return find_answer(status, retry_after, raw(body), call=OURS, now=NOW)


def raw(body: Any) -> bytes | None:
    return body if isinstance(body, bytes) or body is None else json.dumps(body).encode()


def call(**fields: Any) -> Call:
    answer = look(200, {**BATCH, **fields})
    assert isinstance(answer, Found)
    return answer.call


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_readable_batch_is_accepted(status: int) -> None:
    assert start(status, BATCH) == Accepted(CALL)
    assert look(status, BATCH) == Found(CALL)
    assert find(status, {"batches": [BATCH]}) == Found(CALL)


def test_what_the_contract_leaves_optional_may_be_absent_and_more_may_be_there() -> None:
    least = {"id": "b-1", "status": "active"}
    assert start(202, least) == Accepted(Call("b-1", CallStatus.ACTIVE))
    assert look(200, {**least, "progress": {"done": 0.3}}) == Found(Call("b-1", CallStatus.ACTIVE))


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"<html>",
        b'{"id": "b-1", "stat',
        b"[" * 100_000,
        b'{"id": "\xff"}',
        [],
        "b-1",
        {},
        {**BATCH, "id": ""},
        {**BATCH, "id": 7},
        {**BATCH, "id": "x" * 501},
        {**BATCH, "customer": "somebody else"},
    ],
)
def test_a_success_without_a_readable_batch_tells_nothing(body: Any) -> None:
    assert isinstance(start(202, body), Unclear)
    assert isinstance(look(200, body), Unclear)
    assert isinstance(find(200, body), Unclear)


def test_another_batch_than_the_one_asked_for_tells_nothing() -> None:
    assert isinstance(start(202, FOREIGN), Unclear)
    assert isinstance(look(200, {**BATCH, "id": "b-2"}), Unclear)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("active", CallStatus.ACTIVE),
        ("completed", CallStatus.COMPLETED),
        ("partial", CallStatus.PARTIAL),
        ("failed", CallStatus.FAILED),
        ("paused", CallStatus.ACTIVE),
        (None, CallStatus.ACTIVE),
        (3, CallStatus.ACTIVE),
    ],
)
def test_an_unknown_status_means_active(word: object, status: CallStatus) -> None:
    assert call(status=word).status is status


@pytest.mark.parametrize(
    ("failed", "urls"),
    [
        ([{"url": "u1", "reason": "r"}, {"url": "u2"}, "u3"], {"u1", "u2", "u3"}),
        ([{"reason": "r"}, {"url": 7}, None, []], set()),
        ("u1", set()),
        (None, set()),
    ],
)
def test_failed_urls_are_read_as_far_as_they_can_be(failed: object, urls: set[str]) -> None:
    assert call(failed=failed).failed_urls == urls


def test_a_conflict_shows_the_active_call_if_it_can_be_read() -> None:
    assert start(409, {"error": "busy", "active": FOREIGN}) == Busy(
        Call("b-1", CallStatus.ACTIVE, "theirs")
    )
    assert start(409, {"error": "this key is being handled"}) == Busy()
    assert start(409, None) == Busy()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_is_definite_whatever_its_body(status: int) -> None:
    named = start(status, {"error": "bad\nURLs", "invalid": [{"url": "u1", "reason": "r"}]})
    assert named == Refused(f"the API answered {status}: bad URLs", frozenset({"u1"}))
    assert start(status, None) == Refused(f"the API answered {status}")


@pytest.mark.parametrize("status", [301, 302, 307, 401, 402, 403, 404, 405, 415, 451])
def test_an_api_that_does_not_deal_with_us_is_no_refusal_of_images(status: int) -> None:
    assert start(status, {"error": "no"}) == Denied(f"the API answered {status}: no")


@pytest.mark.parametrize("status", [101, 204, 206, 408, 500, 502, 503, 504, 599, 999])
def test_no_other_answer_says_whether_the_call_was_taken(status: int) -> None:
    assert isinstance(start(status, BATCH), Unclear)


@pytest.mark.parametrize("status", [425, 429, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, float("inf")),  # the policy bounds it
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 12:01:00 -0000", 60.0),
        ("Sat, 21 Nov 2020 12:01:00 GMT", 0.0),
    ],
)
def test_the_api_may_say_when_to_come_again(status: int, retry_after: str, seconds: float) -> None:
    for answer in (start, look, find):
        assert answer(status, None, retry_after) == Later(seconds)


@pytest.mark.parametrize(
    "retry_after", ["soon", "-5", "1e9", "\u0663", "Sat, 99 Nov 2026 99:99:99 GMT", "", None]
)
def test_a_time_that_cannot_be_read_is_none(retry_after: str | None) -> None:
    """And a 503 without one may come from a proxy that has already passed the request on."""
    for answer in (start, look, find):
        assert answer(429, None, retry_after) == answer(425, None, retry_after) == Later()
        assert isinstance(answer(503, None, retry_after), Unclear)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"error": "the key was used with another body"},
        {"error": "x", "type": "idempotency_error"},
        {"title": "Idempotency-Key is already used"},
        {"detail": "this key was already used", "invalid": [{"url": "http://i/1"}]},
    ],
)
def test_a_key_that_is_said_to_be_used_twice_is_no_fault_of_the_images(
    status: int, body: Any
) -> None:
    assert isinstance(start(status, body), Denied)


def test_json_that_would_fill_the_memory_is_unreadable() -> None:
    assert isinstance(look(200, b"[" + b"{}," * 1_000_000 + b"1]"), Unclear)
    assert isinstance(start(202, b"[" * 1_000_001), Unclear)


@pytest.mark.parametrize("status", [404, 410])
def test_only_a_look_can_miss_a_call(status: int) -> None:
    assert look(status, None) == NotFound()
    assert isinstance(find(status, None), Unclear)  # an API without a list has not said "none"


@pytest.mark.parametrize("status", [401, 403])
def test_looks_can_be_denied(status: int) -> None:
    expected = Denied(f"the API answered {status}")
    assert look(status, None) == find(status, None) == expected


@pytest.mark.parametrize("status", [204, 302, 400, 408, 409, 418, 422, 500, 503])
def test_any_other_look_is_unclear(status: int) -> None:
    assert isinstance(look(status, BATCH), Unclear)
    assert isinstance(find(status, {"batches": [BATCH]}), Unclear)


@pytest.mark.parametrize("batches", [[], [FOREIGN], [7, None, "x"], [{**BATCH, "reference": None}]])
def test_a_list_without_our_reference_has_not_our_call(batches: object) -> None:
    assert find(200, {"batches": batches}) == NotFound()


def test_of_several_calls_with_our_reference_the_active_one_counts() -> None:
    old = {**BATCH, "id": "b-0", "status": "failed"}
    assert find(200, {"batches": [old, BATCH]}) == Found(CALL)
    assert find(200, {"batches": [BATCH, old]}) == Found(CALL)


@pytest.mark.parametrize(
    "body",
    [
        {"batches": {}},
        {"items": [BATCH]},
        [BATCH],
        {"batches": [{**BATCH, "id": None}]},
        {"batches": [{**BATCH, "customer": "somebody else"}]},
    ],
)
def test_a_list_that_cannot_be_read_has_not_said_none(body: object) -> None:
    assert isinstance(find(200, body), Unclear)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "status", "failed", "active", "invalid", "batches", "error"]),
            inner,
        )
    ),
)


@given(
    st.integers(100, 999),
    st.binary(max_size=40) | st.none() | json_values.map(lambda value: json.dumps(value).encode()),
    st.text(max_size=30) | st.none(),
)
def test_nothing_the_api_says_raises(
    status: int, body: bytes | None, retry_after: str | None
) -> None:
    assert isinstance(start(status, body, retry_after), StartAnswer)
    assert isinstance(look(status, body, retry_after), LookAnswer)
    assert isinstance(find(status, body, retry_after), LookAnswer)
