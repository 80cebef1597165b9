"""When a lane asks for its next call, and with what."""

from __future__ import annotations

import pytest
from tests.unit.batcher.conftest import RULES, Desk, asked

from imagelane.batcher.core.asking import MAX_REQUEST_BYTES
from imagelane.batcher.core.policy import Waiting, first_full, limit_after
from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.codec import encode


def test_a_cold_lane_waits_for_enough_images(desk: Desk) -> None:
    assert desk.processed(range(99)) == []
    (request,) = desk.processed([99])
    assert asked(request) == (1, {"a": list(range(100))})


def test_a_job_that_is_fully_seen_does_not_wait(desk: Desk) -> None:
    assert desk.processed(range(3)) == []
    (request,) = desk.sealed(3)
    assert asked(request) == (1, {"a": [0, 1, 2]})


def test_images_that_failed_count_as_seen(desk: Desk) -> None:
    desk.processed(range(3))
    desk.processed([3], ok=False)
    requests = [one for one in desk.sealed(4) if isinstance(one, e.BatchRequested)]
    assert [asked(one) for one in requests] == [(1, {"a": [0, 1, 2]})]


def test_a_few_images_go_after_the_linger_time(desk: Desk) -> None:
    desk.processed([5])
    assert desk.wait(19.0) == []
    (request,) = desk.wait(2.0)
    assert asked(request) == (1, {"a": [5]})


def test_the_linger_time_runs_from_the_oldest_image(desk: Desk) -> None:
    desk.processed([5])
    desk.wait(15.0)
    desk.processed([6])
    (request,) = desk.wait(6.0)
    assert asked(request) == (1, {"a": [5, 6]})


def test_nothing_more_is_asked_for_while_a_request_is_open(desk: Desk) -> None:
    desk.call(100)
    assert desk.processed(range(100, 500)) == []
    assert desk.wait(30.0) == []


def test_a_warm_lane_asks_at_once_for_everything_of_all_jobs_oldest_first(desk: Desk) -> None:
    desk.call(100, job="b")
    desk.wait(1.0)
    desk.processed([7], job="a")
    desk.processed([100], job="b")
    (request,) = desk.completed(1, desk.outcome("b", delivered=range(100)))
    assert asked(request) == (2, {"b": [100], "a": [7]})
    assert [job.job_id[0] for job in request.jobs] == ["b", "a"]  # type: ignore[attr-defined]


def test_a_lane_is_cold_again_when_a_call_ends_and_nothing_is_ready(desk: Desk) -> None:
    desk.call(100)
    assert desk.completed(1, desk.outcome(delivered=range(100))) == []
    assert desk.processed([100]) == []
    (request,) = desk.wait(21.0)
    assert asked(request) == (2, {"a": [100]})


def test_an_unanswered_request_is_sent_again_as_it_was_in_doubled_times(desk: Desk) -> None:
    request = desk.call(100)
    desk.processed(range(100, 200))
    assert desk.wait(59.0) == []
    assert desk.wait(2.0) == [request]
    assert desk.wait(118.0) == []
    assert desk.wait(3.0) == [request]


def test_a_call_has_no_more_images_than_the_setting_allows(desk: Desk) -> None:
    desk.with_rules(max_images_per_call=40)
    desk.processed(range(60), job="a")
    desk.wait(1.0)
    (request,) = desk.processed(range(60), job="b")
    assert asked(request) == (1, {"a": list(range(40))})
    (request,) = desk.completed(1, desk.outcome(delivered=range(40)))
    assert asked(request) == (2, {"a": list(range(40, 60)), "b": list(range(20))})


def test_the_apis_hint_holds_for_a_while(desk: Desk) -> None:
    desk.call(100)
    (second,) = desk.completed(1, desk.outcome(returned=range(100)), max_images=10)
    assert asked(second) == (2, {"a": list(range(10))})
    (third,) = desk.completed(2, desk.outcome(delivered=range(10)))
    assert asked(third) == (3, {"a": list(range(10, 30))})


@pytest.mark.parametrize(
    ("limit", "hint", "then"),
    [(None, None, None), (None, 5, 5), (5, 3, 3), (3, None, 6), (60_000, None, None)],
)
def test_a_limit_doubles_until_there_is_none(
    limit: int | None, hint: int | None, then: int | None
) -> None:
    assert limit_after(limit, hint) == then


def test_a_request_stays_a_record_that_kafka_takes(desk: Desk) -> None:
    desk.with_rules(first_call_images=10**9)
    for letter in "abcdefghijklmnopqrstuvwxyz234567":
        desk.accepted(letter)
        desk.completed(1, desk.outcome(letter, returned=range(0, 100_000, 2)))
    requests = [one for one in desk.wait(25.0) if isinstance(one, e.BatchRequested)]
    assert len(requests) == 1
    assert len(encode(requests[0])) < MAX_REQUEST_BYTES + 50_000
    assert len(requests[0].jobs) < 32


def test_fruitless_calls_are_not_repeated_at_once(desk: Desk) -> None:
    desk.call(100)
    assert desk.completed(1, desk.outcome(returned=range(100))) == []
    (again,) = desk.wait(2.0)
    assert asked(again)[0] == 2
    assert desk.completed(2, desk.outcome(returned=range(100))) == []
    assert desk.wait(1.5) == []
    assert len(desk.wait(1.0)) == 1


def test_the_backoff_has_an_end() -> None:
    waiting = Waiting(1, 0.0, warm=True, some_job_is_fully_seen=False, fruitless=40)
    assert first_full(waiting, RULES) == 60.0


def test_an_image_that_is_heard_of_twice_is_asked_for_once(desk: Desk) -> None:
    desk.processed([1, 1, 2, 1])
    desk.processed([2], ok=False)
    (request,) = desk.sealed(3) + desk.processed([0])
    assert asked(request) == (1, {"a": [0, 1, 2]})


def test_an_index_beyond_the_list_is_not_an_image(desk: Desk) -> None:
    desk.processed([0, 7])
    (request,) = desk.sealed(1)
    assert asked(request) == (1, {"a": [0]})
    desk.processed([8])
    (finished,) = desk.completed(1, desk.outcome(delivered=[0, 7]))
    assert isinstance(finished, e.JobFinished)
    assert (finished.images, finished.delivered) == (1, 1)


def test_a_refused_list_leaves_nothing_behind(desk: Desk) -> None:
    refused = e.JobRefused(
        customer_id="acme",
        job_id="a" * 32,
        failure=p.Failure(code="list_empty", reason="the list has no lines"),
        occurred_at=desk.now.at,
    )
    assert desk.tell(refused) == []
    assert desk.table == {}


def test_a_tick_for_an_unknown_lane_is_harmless(desk: Desk) -> None:
    assert desk.tell(e.LaneTicked(customer_id="nobody", occurred_at=desk.now.at)) == []
    assert list(desk.lanes) == []


def test_a_lane_has_one_alarm_on_its_way_at_most(desk: Desk) -> None:
    desk.processed([1])
    desk.seconds += 30.0
    (tick,) = desk.lanes.ticks(desk.now)
    assert desk.lanes.ticks(desk.now) == []
    assert len(desk.tell(tick)) == 1


def test_images_beyond_the_end_of_their_list_are_no_images(desk: Desk) -> None:
    desk.sealed(2)
    assert desk.processed([2, 7]) == []
    (request,) = desk.processed([0, 1])
    assert asked(request) == (1, {"a": [0, 1]})
