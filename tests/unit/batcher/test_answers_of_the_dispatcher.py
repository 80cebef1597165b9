"""What the dispatcher says is folded by union; the dispatcher decides, this side proposes."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.unit.batcher.conftest import Desk, asked, job_id, settled_by

from imagelane.contracts import events as e
from imagelane.contracts import parts as p
from imagelane.contracts.image_sets import UnreadableImageSetError


def test_returned_images_are_asked_for_again(desk: Desk) -> None:
    desk.call(100)
    (request,) = desk.completed(1, desk.outcome(delivered=range(98), returned=[98, 99]))
    assert asked(request) == (2, {"a": [98, 99]})


def test_an_answer_that_comes_twice_changes_nothing(desk: Desk) -> None:
    desk.call(100)
    answer = desk.outcome(delivered=range(99), failed=[99])
    desk.completed(1, answer)
    table = dict(desk.table)
    assert desk.completed(1, answer) == []
    assert desk.table == table


def test_an_old_answer_does_not_end_a_newer_request(desk: Desk) -> None:
    desk.call(100)
    desk.processed([100])
    assert len(desk.completed(1, desk.outcome(delivered=range(100)))) == 1
    assert desk.completed(1, desk.outcome(delivered=range(100)), last_seq=2) == []
    assert desk.wait(30.0) == []


def test_the_end_of_a_later_call_ends_the_request_too(desk: Desk) -> None:
    desk.call(100)
    (request,) = desk.completed(4, desk.outcome(delivered=range(50)))
    assert asked(request) == (5, {"a": list(range(50, 100))})


def test_a_call_told_as_over_by_a_later_seq_ends_the_request(desk: Desk) -> None:
    desk.call(100)
    assert len(desk.completed(1, desk.outcome(returned=range(100)), max_images=1)) == 1
    (request,) = desk.completed(1, last_seq=3)
    assert asked(request)[0] == 4


def test_images_that_an_answer_does_not_mention_are_asked_about_before_they_are_sent_again(
    desk: Desk,
) -> None:
    desk.call(100)
    (question,) = desk.completed(1, desk.outcome(delivered=range(98)))
    assert settled_by(question) == {"a": ([], [])}
    assert desk.wait(30.0) == []
    (request,) = desk.told(1, job=desk.outcome(delivered=range(99)))
    assert asked(request) == (2, {"a": [99]})


def test_a_request_that_is_running_is_waited_for(desk: Desk) -> None:
    request = desk.call(100)
    desk.wait(50.0)
    assert desk.told(1, busy=True, answers=1) == []
    assert desk.wait(100.0) == []
    assert desk.wait(30.0) == [request]


def test_a_seq_that_was_used_for_other_images_is_followed_by_the_next(desk: Desk) -> None:
    desk.call(100)
    assert desk.told(7, job=desk.outcome(delivered=range(40))) == []
    (request,) = desk.told(7, answers=1)
    assert asked(request) == (8, {"a": list(range(40, 100))})


def test_while_another_call_runs_nothing_is_asked_for_but_not_for_ever(desk: Desk) -> None:
    desk.call(100)
    assert desk.told(7, busy=True, answers=1) == []
    assert desk.wait(59.0) == []
    (request,) = desk.wait(2.0)
    assert asked(request)[0] == 8


def test_the_end_of_the_other_call_is_the_time_to_ask(desk: Desk) -> None:
    desk.call(100)
    desk.told(7, busy=True, answers=1)
    (request,) = desk.completed(7)
    assert asked(request) == (8, {"a": list(range(100))})


def test_nothing_left_to_send_ends_the_request(desk: Desk) -> None:
    desk.call(100)
    desk.told(0, job=desk.outcome(delivered=range(100)))
    assert desk.told(0, answers=1) == []
    (request,) = desk.processed(range(100, 200))
    assert asked(request) == (1, {"a": list(range(100, 200))})


def test_a_dispatcher_that_knows_less_than_this_side_gets_nothing_new(desk: Desk) -> None:
    desk.accepted("b")
    desk.completed(5)
    request = desk.call(100)
    assert request.seq == 6
    assert desk.told(0, answers=6) == []
    assert desk.wait(59.0) == []
    assert desk.wait(2.0) == [request]


def test_an_answer_to_another_request_is_only_folded(desk: Desk) -> None:
    desk.call(100)
    assert desk.told(0, answers=9) == []
    assert desk.told(0) == []
    assert desk.wait(30.0) == []


def test_the_first_outcome_of_an_image_stays(desk: Desk) -> None:
    desk.call(100)
    desk.completed(1, desk.outcome(delivered=range(100)))
    desk.told(1, job=desk.outcome(failed=range(100)))
    (finished,) = desk.sealed(100)
    assert isinstance(finished, e.JobFinished)
    assert (finished.delivered, finished.failed) == (100, 0)


def test_returned_images_that_were_never_heard_of_are_ready(desk: Desk) -> None:
    desk.accepted()
    assert desk.completed(3, desk.outcome(returned=[4])) == []
    (request,) = desk.wait(21.0)
    assert asked(request) == (4, {"a": [4]})


def test_images_of_a_job_that_nobody_described_are_not_asked_for(desk: Desk) -> None:
    desk.completed(3, desk.outcome(returned=[4]))
    assert desk.wait(40.0) == []
    (request,) = desk.accepted() + desk.wait(21.0)
    assert asked(request) == (4, {"a": [4]})


def test_a_bitmap_that_cannot_be_read_changes_nothing(desk: Desk) -> None:
    desk.call(100)
    table = dict(desk.table)
    broken = structs.replace(
        desk.outcome(delivered=[1]), delivered=p.ImageSet(count=7, bitmap="AAAA")
    )
    with pytest.raises(UnreadableImageSetError):
        desk.completed(1, desk.outcome("b", delivered=[1]), broken)
    with pytest.raises(UnreadableImageSetError):
        desk.told(9, job=broken)
    assert desk.decide() == []
    assert desk.table == table
    assert desk.outcome().job_id == job_id("a")


def test_an_older_answer_does_not_take_the_lane_back(desk: Desk) -> None:
    desk.accepted()
    desk.completed(3)
    desk.completed(1)
    assert desk.call(100).seq == 4


def test_what_is_decided_is_decided_after_a_restart_too(desk: Desk) -> None:
    desk.sealed(102)
    desk.call(100)
    desk.completed(1, desk.outcome(delivered=range(100)))
    desk.restart()
    (request,) = desk.processed([100, 101])
    assert asked(request) == (2, {"a": [100, 101]})
