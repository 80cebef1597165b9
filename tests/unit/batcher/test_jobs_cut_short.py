"""Jobs that people or their deadlines end: the running call ends, nothing further is sent."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from msgspec import UNSET
from tests.unit.batcher.conftest import Desk, asked, job_id, settled_by

from imagelane.batcher.core.deadlines import LONGEST_WAIT_SECONDS
from imagelane.batcher.core.records import OrderKey, parse_key
from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts import parts as p


def finished(events: list[e.Event]) -> e.JobFinished:
    (event,) = [one for one in events if isinstance(one, e.JobFinished)]
    return event


def end(desk: Desk, images: int = 3, job: str = "a") -> e.JobFinished:
    """The list is sealed, and the dispatcher confirms that nothing of it was delivered."""
    desk.sealed(images, job)
    return finished(desk.told(0, job=desk.outcome(job, cancelled=range(images))))


@pytest.mark.parametrize(("delete", "reason"), [(False, "cancel"), (True, "delete")])
def test_the_end_says_what_cut_the_job_short(desk: Desk, delete: bool, reason: str) -> None:
    desk.cancelled(delete=delete)
    assert end(desk).cut_short_by == reason


def test_a_deletion_ends_the_running_call_first(desk: Desk) -> None:
    desk.call(100)
    desk.sealed(102)
    desk.processed([100])
    (settle,) = desk.cancelled(delete=True)
    assert settled_by(settle) == {"a": ([], [100, 101])}
    desk.told(1, busy=True, job=desk.outcome(cancelled=[100, 101]))
    event = finished(desk.completed(1, desk.outcome(delivered=range(100))))
    assert (event.delivered, event.cancelled, event.cut_short_by) == (100, 2, "delete")


def test_a_job_that_was_done_when_the_command_came_has_run_its_course(desk: Desk) -> None:
    desk.call(100)
    desk.sealed(100)
    desk.cancelled()
    event = finished(desk.completed(1, desk.outcome(delivered=range(100))))
    assert (event.delivered, event.cut_short_by) == (100, UNSET)


def test_of_several_reasons_the_same_one_is_told_in_any_order() -> None:
    reasons = []
    for order in permutations(("deadline", "cancel", "delete")):
        desk = Desk()
        for one in order:
            if one == "deadline":
                desk.accepted(deadline=-1.0)
            else:
                desk.cancelled(delete=one == "delete")
        reasons.append(end(desk).cut_short_by)
    assert set(reasons) == {"delete"}


# Deadlines


def test_a_job_ends_at_its_deadline(desk: Desk) -> None:
    desk.accepted(deadline=100.0)
    desk.processed([0])
    assert [asked(one)[0] for one in desk.wait(99.0)] == [1, 1]  # asked, and asked again
    assert desk.wait(2.0) == []
    (settle,) = desk.completed(1, desk.outcome(returned=[0]))
    assert settled_by(settle) == {"a": ([], [0])}
    assert end(desk, 1).cut_short_by == "deadline"


def test_images_that_come_after_the_deadline_are_cancelled(desk: Desk) -> None:
    desk.accepted(deadline=10.0)
    desk.wait(11.0)
    (settle,) = desk.processed([5])
    assert settled_by(settle) == {"a": ([], [5])}


def test_a_deadline_is_known_after_a_restart_and_from_either_event(desk: Desk) -> None:
    desk.sealed(2, deadline=50.0)
    desk.restart()
    (settle,) = desk.wait(51.0)
    assert settled_by(settle) == {"a": ([], [0, 1])}
    desk.restart()
    assert end(desk, 2).cut_short_by == "deadline"


def test_a_far_deadline_is_looked_at_now_and_then_for_the_wall_clock_may_jump(desk: Desk) -> None:
    desk.accepted(deadline=10 * LONGEST_WAIT_SECONDS)
    (lane,) = desk.lanes
    assert lane.wake_at_seconds == desk.seconds + LONGEST_WAIT_SECONDS
    desk.wait(10 * LONGEST_WAIT_SECONDS + 1.0)
    assert [job.cut_short_by for job in lane.jobs.values()] == ["deadline"]


def test_a_deadline_that_passes_when_all_is_done_cuts_nothing_short(desk: Desk) -> None:
    desk.accepted(deadline=100.0)
    desk.call(100)
    desk.sealed(100)
    desk.wait(101.0)
    event = finished(desk.completed(1, desk.outcome(delivered=range(100))))
    assert (event.cancelled, event.cut_short_by) == (0, UNSET)


# Customers


def test_a_customers_jobs_that_were_handed_in_before_are_cut_short_and_later_ones_run(
    desk: Desk,
) -> None:
    desk.accepted("a", handed_in=-10.0)
    desk.accepted("b", handed_in=-5.0)
    desk.accepted("d", handed_in=-4.0)
    desk.customer_cancelled(-5.0)
    (lane,) = desk.lanes
    cut = {job.job_id[0]: job.cut_short_by for job in lane.jobs.values()}
    assert cut == {"a": "cancel", "b": "cancel", "d": None}


def test_order_does_not_matter_only_the_time_of_handing_in(desk: Desk) -> None:
    desk.customer_cancelled(0.0, delete=True)
    desk.processed([0])
    desk.processed([0], "b")
    desk.accepted("a", handed_in=-0.5)
    desk.sealed(1, "b", handed_in=0.5)
    (lane,) = desk.lanes
    assert [job.cut_short_by for job in lane.jobs.values()] == ["delete", None]


def test_without_the_time_of_handing_in_that_of_acceptance_counts(desk: Desk) -> None:
    desk.accepted("a")
    desk.wait(10.0)
    desk.customer_cancelled(5.0)
    desk.accepted("b")
    desk.sealed(3, "d")  # of this one nothing is known: it runs until somebody says more
    (lane,) = desk.lanes
    assert [job.cut_short_by for job in lane.jobs.values()] == ["cancel", None, None]


def test_the_later_of_two_commands_holds_and_the_earlier_takes_nothing_back(desk: Desk) -> None:
    for seconds in (-100.0, 0.0, -50.0):
        desk.customer_cancelled(seconds)
    desk.accepted("a", handed_in=-1.0)
    (lane,) = desk.lanes
    assert [job.cut_short_by for job in lane.jobs.values()] == ["cancel"]
    assert sum(isinstance(parse_key(key), OrderKey) for key in desk.table) == 1


def test_a_deletion_and_a_cancellation_of_a_customer_hold_side_by_side(desk: Desk) -> None:
    desk.customer_cancelled(0.0)
    desk.customer_cancelled(-50.0, delete=True)
    desk.accepted("a", handed_in=-60.0)
    desk.accepted("b", handed_in=-40.0)
    (lane,) = desk.lanes
    assert [job.cut_short_by for job in lane.jobs.values()] == ["delete", "cancel"]


def test_a_command_about_a_customer_is_known_after_a_restart(desk: Desk) -> None:
    desk.customer_id = "a/b c"
    desk.customer_cancelled(0.0)
    zombie = dict(desk.table)
    desk.customer_cancelled(10.0)
    desk.table |= zombie  # a process that lost the partition had written the older one
    desk.restart()
    desk.accepted("a", handed_in=9.0)
    (lane,) = desk.lanes
    assert [job.cut_short_by for job in lane.jobs.values()] == ["cancel"]


def test_a_command_is_forgotten_after_the_retention_and_an_old_one_changes_nothing(
    desk: Desk,
) -> None:
    desk.customer_cancelled()
    desk.restart()
    desk.seconds += timedelta(days=14).total_seconds() + 1.0
    for tick in desk.lanes.ticks(desk.now):
        desk.tell(tick)
    assert desk.table == {}
    assert list(desk.lanes) == []
    desk.accepted("a", handed_in=-10.0)
    desk.customer_cancelled(0.0)
    (lane,) = desk.lanes
    assert [job.cut_short_by for job in lane.jobs.values()] == [None]


# Bad input


def test_a_command_twice_is_a_command_once(desk: Desk) -> None:
    desk.accepted()
    desk.cancelled()
    table = dict(desk.table)
    assert desk.cancelled() == []
    assert desk.table == table
    desk.customer_cancelled(5.0)
    table = dict(desk.table)
    desk.customer_cancelled(5.0)
    assert desk.table == table


def test_a_command_for_another_customers_job_leaves_that_job_alone(desk: Desk) -> None:
    desk.processed(range(99))
    desk.customer_id = "globex"
    desk.cancelled("a", delete=True)
    desk.customer_cancelled(delete=True)
    desk.customer_id = "acme"
    (request,) = desk.processed([99])
    assert asked(request) == (1, {"a": list(range(100))})


def test_a_command_for_a_finished_job_does_nothing(desk: Desk) -> None:
    desk.sealed(0)
    table = dict(desk.table)
    assert desk.cancelled(delete=True) == []
    assert {job_id("a")} == {one for lane in desk.lanes for one in lane.finished}
    assert desk.table == table


def test_the_release_of_a_lane_is_not_the_batchers_affair(desk: Desk) -> None:
    release = c.ReleaseLane(
        customer_id="acme", seq=1, decision="retry", decided_by="me", occurred_at=desk.now.at
    )
    assert desk.tell(release) == []
    assert list(desk.lanes) == []


def test_a_refused_list_leaves_no_trace(desk: Desk) -> None:
    refused = e.JobRefused(
        customer_id="acme",
        job_id=job_id("a"),
        failure=p.Failure(code="list_empty", reason="none"),
        occurred_at=desk.now.at,
    )
    assert desk.tell(refused) == []
    assert list(desk.lanes) == []


def test_outcomes_of_a_job_of_which_nobody_ever_heard_are_forgotten(desk: Desk) -> None:
    desk.told(0, job=desk.outcome(delivered=[1]))
    desk.restart()
    desk.seconds += timedelta(days=15).total_seconds()
    for tick in desk.lanes.ticks(desk.now):
        desk.tell(tick)
    assert [key for key in desk.table if b"job/" in key] == []


def test_images_beyond_the_sealed_list_are_dropped_after_a_restart_too(desk: Desk) -> None:
    desk.with_rules(first_call_images=10**6, linger_seconds=10**6)
    desk.processed([0, 1, 500])
    desk.sealed(2)
    desk.restart()
    desk.with_rules(first_call_images=1)
    (request,) = desk.restart() or desk.wait(1.0)
    assert asked(request) == (1, {"a": [0, 1]})
