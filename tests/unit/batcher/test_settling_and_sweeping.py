"""Images that will be in no call, and images of which nothing is heard."""

from __future__ import annotations

from tests.unit.batcher.conftest import Desk, asked, settled_by

from imagelane.batcher.core.settling import MAX_SETTLE_BYTES
from imagelane.contracts import events as e
from imagelane.contracts.codec import encode
from imagelane.contracts.image_sets import unpack


def missing(event: e.Event) -> tuple[int, list[int]]:
    assert isinstance(event, e.ImagesMissing), event
    return event.round, list(unpack(event.images))


def test_images_that_failed_on_the_road_are_settled_one_settle_at_a_time(desk: Desk) -> None:
    (first,) = desk.processed([3], ok=False)
    assert settled_by(first) == {"a": ([3], [])}
    assert desk.processed([4, 5], ok=False) == []
    (second,) = desk.told(0, job=desk.outcome(failed=[3]))
    assert settled_by(second) == {"a": ([4, 5], [])}


def test_an_unanswered_settle_is_sent_again_with_what_came_meanwhile(desk: Desk) -> None:
    desk.processed([3], ok=False)
    desk.processed([4], ok=False)
    (again,) = desk.wait(61.0)
    assert settled_by(again) == {"a": ([3, 4], [])}
    assert desk.wait(110.0) == []
    assert len(desk.wait(12.0)) == 1


def test_a_decided_image_is_never_settled(desk: Desk) -> None:
    desk.processed([3], ok=False)
    desk.told(0, job=desk.outcome(delivered=[3]))
    assert desk.wait(200.0) == []


def test_an_image_of_a_plan_that_runs_is_settled_when_the_plan_has_ended(desk: Desk) -> None:
    desk.processed([3], ok=False)
    assert desk.told(1, busy=True, job=desk.outcome()) == []
    assert desk.wait(30.0) == []
    (again,) = desk.completed(1, desk.outcome(returned=[3]))
    assert settled_by(again) == {"a": ([3], [])}


def test_or_after_a_while(desk: Desk) -> None:
    desk.processed([3], ok=False)
    desk.told(1, busy=True, job=desk.outcome())
    assert len(desk.wait(61.0)) == 1


def test_a_settle_stays_a_record_that_kafka_takes(desk: Desk) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    for letter in letters:
        desk.cancelled(letter)
    for letter in letters:
        returned = desk.outcome(letter, returned=range(0, 100_000, 2))
        desk.lanes.fold(desk.call_completed(1, returned), desk.now)
    (event,) = desk.decide()
    assert len(encode(event)) < MAX_SETTLE_BYTES + 50_000


def test_cancelling_a_job_settles_what_is_in_no_call(desk: Desk) -> None:
    desk.call(100)
    desk.processed([100])
    (event,) = desk.cancelled()
    assert settled_by(event) == {"a": ([], [100])}
    assert desk.cancelled() == []


def test_images_of_a_cancelled_job_that_come_later_are_cancelled(desk: Desk) -> None:
    desk.cancelled()
    (event,) = desk.processed([1])
    assert settled_by(event) == {"a": ([], [1])}


def test_images_that_never_come_are_cancelled_when_the_list_is_sealed(desk: Desk) -> None:
    desk.cancelled()
    (event,) = desk.sealed(3)
    assert settled_by(event) == {"a": ([], [0, 1, 2])}
    (finished,) = desk.told(0, job=desk.outcome(cancelled=range(3)))
    assert isinstance(finished, e.JobFinished)
    assert (finished.images, finished.cancelled) == (3, 3)


def test_a_sealed_list_is_cancelled_as_a_whole(desk: Desk) -> None:
    desk.sealed(3)
    desk.processed([1], ok=False)
    desk.told(0, job=desk.outcome(failed=[1]))
    (event,) = desk.cancelled()
    assert settled_by(event) == {"a": ([], [0, 2])}


def test_returned_images_of_a_cancelled_job_are_not_asked_for(desk: Desk) -> None:
    desk.call(100)
    desk.cancelled()
    (event,) = desk.completed(1, desk.outcome(delivered=range(98), returned=[98, 99]))
    assert settled_by(event) == {"a": ([], [98, 99])}


def test_missing_images_are_named_after_the_dispatcher_was_asked(desk: Desk) -> None:
    desk.sealed(4)
    desk.processed([1])
    requests = desk.wait(59.0)
    assert [asked(one) for one in requests] == [(1, {"a": [1]})]
    (question,) = desk.wait(2.0)
    assert settled_by(question) == {"a": ([], [])}
    (named,) = desk.told(1, busy=True, job=desk.outcome())
    assert missing(named) == (1, [0, 2, 3])


def test_later_rounds_come_in_doubled_times(desk: Desk) -> None:
    desk.sealed(2)
    desk.wait(61.0)
    desk.told(0, job=desk.outcome())
    assert desk.wait(118.0) == []
    assert len(desk.wait(4.0)) == 1
    (named,) = desk.told(0, job=desk.outcome())
    assert missing(named) == (2, [0, 1])


def test_what_the_dispatcher_knows_is_not_missing(desk: Desk) -> None:
    desk.sealed(2)
    desk.wait(61.0)
    (finished,) = desk.told(1, job=desk.outcome(delivered=[0, 1]))
    assert isinstance(finished, e.JobFinished)


def test_the_sweep_waits_while_anything_moves(desk: Desk) -> None:
    desk.sealed(500)
    for index in range(5):
        desk.processed([index], ok=False)
        assert all(isinstance(one, e.ImagesSettled) for one in desk.wait(50.0))


def test_with_the_sweep_switched_off_the_dispatcher_is_asked_all_the_same(desk: Desk) -> None:
    desk.with_rules(sweep=False)
    desk.sealed(2)
    (question,) = desk.wait(61.0)
    assert settled_by(question) == {"a": ([], [])}
    assert desk.told(0, job=desk.outcome()) == []
    assert len(desk.wait(130.0)) == 1


def test_a_list_that_is_not_sealed_misses_nothing(desk: Desk) -> None:
    desk.call(100)
    desk.completed(1, desk.outcome(delivered=range(100)))
    assert desk.wait(1_000.0) == []


def test_no_round_has_the_number_of_another_after_a_restart(desk: Desk) -> None:
    desk.sealed(2)
    desk.wait(61.0)
    desk.told(0, job=desk.outcome())
    assert desk.restart() == []
    desk.wait(61.0)
    (named,) = desk.told(0, job=desk.outcome())
    assert missing(named) == (2, [0, 1])
