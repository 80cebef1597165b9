"""The end of a job: told once, remembered for a while, then forgotten."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.batcher.conftest import Desk, job_id

from imagelane.batcher.core.records import JobKey, Parts, decode_part, parse_key
from imagelane.contracts import events as e


def finished(events: list[e.Event]) -> e.JobFinished:
    (event,) = events
    assert isinstance(event, e.JobFinished)
    return event


def whole_job(desk: Desk) -> e.JobFinished:
    desk.sealed(100)
    desk.processed(range(99))
    desk.processed([99], ok=False)
    desk.told(0, job=desk.outcome(failed=[99]))
    return finished(desk.completed(1, desk.outcome(delivered=range(99))))


def test_a_job_ends_when_every_image_has_its_outcome(desk: Desk) -> None:
    event = whole_job(desk)
    assert (event.images, event.delivered, event.failed, event.cancelled) == (100, 99, 1, 0)


def test_an_empty_list_is_finished_when_it_is_sealed(desk: Desk) -> None:
    assert finished(desk.sealed(0)).images == 0


def test_outcomes_may_come_before_anything_else(desk: Desk) -> None:
    desk.completed(1, desk.outcome(delivered=[0, 1]))
    assert finished(desk.sealed(2)).delivered == 2


def test_nothing_that_comes_again_begins_it_again(desk: Desk) -> None:
    whole_job(desk)
    table = dict(desk.table)
    assert desk.accepted() == []
    assert desk.processed(range(100)) == []
    assert desk.sealed(100) == []
    assert desk.cancelled() == []
    assert desk.completed(1, desk.outcome(delivered=range(99))) == []
    assert desk.told(1, job=desk.outcome(failed=[99])) == []
    assert desk.wait(500.0) == []
    assert desk.table == table


def test_whoever_seals_a_job_after_its_end_is_told_of_it_again(desk: Desk) -> None:
    event = whole_job(desk)
    desk.wait(1.0)
    table = dict(desk.table)
    assert desk.accepted() == []
    assert finished(desk.sealed(100)) == event
    assert desk.wait(100.0) == []
    assert desk.table == table


def test_an_end_that_is_not_durable_yet_is_not_told_again(desk: Desk) -> None:
    desk.sealed(0)
    for lane in desk.lanes:
        for marker in lane.finished.values():
            marker.state = "finished"
    desk.wait(1.0)
    assert desk.sealed(0) == []


def test_only_a_marker_is_left_of_it(desk: Desk) -> None:
    whole_job(desk)
    assert sum(isinstance(parse_key(key), JobKey) for key in desk.table) == 1


def test_a_restart_between_writing_and_telling_tells_it_in_the_same_words(desk: Desk) -> None:
    desk.completed(1, desk.outcome(delivered=[0]))
    desk.lanes.fold(
        e.JobSealed(
            customer_id="acme",
            job_id=job_id("a"),
            recipe="default",
            destination="default",
            images=1,
            occurred_at=desk.now.at,
        ),
        desk.now,
    )
    decisions = desk.lanes.decide(desk.now)
    desk.table.update({write.key: write.value for write in decisions.writes if write.value})
    first = finished(decisions.events)
    desk.seconds += 100.0
    assert finished(desk.restart()) == first
    assert desk.restart() == []


def test_a_marker_is_kept_for_the_retention_and_no_longer(desk: Desk) -> None:
    whole_job(desk)
    desk.restart()
    days = timedelta(days=14).total_seconds()
    desk.seconds += days - 10.0
    assert desk.lanes.ticks(desk.now) == []
    desk.seconds += 20.0
    (tick,) = desk.lanes.ticks(desk.now)
    assert desk.tell(tick) == []
    assert desk.table == {}
    assert list(desk.lanes) == []


def test_of_too_many_markers_the_oldest_are_forgotten(desk: Desk) -> None:
    desk.with_rules(max_finished_jobs=2)
    for job in "abcd":
        desk.seconds += 1.0
        desk.sealed(0, job)
    assert [list(lane.finished) for lane in desk.lanes] == [[job_id("c"), job_id("d")]]
    desk.restart()
    assert [list(lane.finished) for lane in desk.lanes] == [[job_id("c"), job_id("d")]]


def test_an_end_that_is_told_only_after_the_retention_is_told_once_and_forgotten(
    desk: Desk,
) -> None:
    desk.sealed(0)
    key = next(key for key in desk.table if isinstance(parse_key(key), JobKey))
    desk.table[key] = desk.table[key].replace(b',"told":true', b"")
    desk.seconds += timedelta(days=20).total_seconds()
    desk.open()
    finished(desk.decide())
    assert desk.table == {}
    assert list(desk.lanes) == []


def test_the_oldest_marker_goes_first(desk: Desk) -> None:
    desk.sealed(0, "b")
    desk.seconds += 1_000.0
    desk.sealed(0, "a")
    desk.restart()
    desk.seconds += timedelta(days=14).total_seconds() - 500.0
    for tick in desk.lanes.ticks(desk.now):
        desk.tell(tick)
    assert [list(lane.finished) for lane in desk.lanes] == [[job_id("a")]]


def test_events_older_than_the_retention_begin_no_job(desk: Desk) -> None:
    old = desk.image(1)
    old_seal = e.JobSealed(
        customer_id="acme",
        job_id=job_id("b"),
        recipe="default",
        destination="default",
        images=1,
        occurred_at=desk.now.at,
    )
    desk.seconds += timedelta(days=15).total_seconds()
    assert desk.tell(old) == []
    assert desk.tell(old_seal) == []
    assert list(desk.lanes) == []


def test_a_command_for_a_job_that_never_was_is_forgotten(desk: Desk) -> None:
    desk.cancelled()
    desk.restart()
    desk.seconds += timedelta(days=15).total_seconds()
    for tick in desk.lanes.ticks(desk.now):
        desk.tell(tick)
    assert desk.table == {}


def test_a_marker_that_was_told_counts_more_than_one_that_was_not(desk: Desk) -> None:
    desk.sealed(0)
    told = {key: value for key, value in desk.table.items() if isinstance(parse_key(key), JobKey)}
    ((key, value),) = told.items()
    untold = decode_part(value.replace(b',"told":true', b""))
    parts = Parts(job_id("a"), [(b"one", untold), (key, decode_part(value))])
    marker = parts.finished()
    assert marker is not None
    assert marker.is_told
    assert marker.keys == [key]
