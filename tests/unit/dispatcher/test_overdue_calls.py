"""When a call takes far longer than the customer's calls usually take."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.unit.dispatcher.conftest import (
    ACME,
    NOW,
    PATIENCE,
    completed,
    draft,
    lane,
    planned,
)

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.answers import Call, CallStatus, Found
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.overdue import allowed_seconds, having_learned, is_overdue
from imagelane.dispatcher.core.step import Kind, Pursuit

FLOOR = 5 * 120.0


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def running(images: int = 10, *, usual: tuple[float, float] | None = None) -> LaneRecorded:
    one = replace(lane("active"), plan=planned(range(images)))
    return one if usual is None else replace(one, usual_seconds=usual[0], usual_images=usual[1])


@pytest.mark.parametrize(
    ("images", "usual", "seconds"),
    [
        (10, None, FLOOR),
        (1_000, None, FLOOR),
        (10, (1.0, 10.0), FLOOR),
        (10, (1_000.0, 10.0), 5_000.0),
        (1, (1_000.0, 10.0), 5_000.0),  # there may be a constant part in it
        (30, (1_000.0, 10.0), 15_000.0),  # at most in proportion
        (10, (1_000.0, 0.0), 50_000.0),
    ],
)
def test_a_call_may_take_so_long(
    images: int, usual: tuple[float, float] | None, seconds: float
) -> None:
    one = running(images, usual=usual)
    assert allowed_seconds(one, PATIENCE) == seconds
    assert not is_overdue(one, PATIENCE, after(seconds))
    assert is_overdue(one, PATIENCE, after(seconds + 1))


def test_a_call_that_was_never_seen_running_is_not_overdue() -> None:
    one = replace(running(), active_since=UNSET)
    assert not is_overdue(one, PATIENCE, after(1e6))
    assert having_learned(one, PATIENCE, after(1e6)) == one


def test_the_first_call_is_what_is_usual_and_later_ones_are_smoothed_in() -> None:
    one = having_learned(running(10), PATIENCE, after(10))
    assert (one.usual_seconds, one.usual_images) == (10.0, 10.0)
    two = having_learned(replace(one, plan=planned(range(20))), PATIENCE, after(20))
    assert (two.usual_seconds, two.usual_images) == (12.0, 12.0)


@pytest.mark.parametrize(("seconds", "learned"), [(1e6, FLOOR), (-1e6, 0.0)])
def test_neither_a_hanging_call_nor_a_jumping_clock_spoils_it(
    seconds: float, learned: float
) -> None:
    assert having_learned(running(), PATIENCE, after(seconds)).usual_seconds == learned


@pytest.mark.parametrize(
    ("status", "learns"),
    [(CallStatus.COMPLETED, True), (CallStatus.FAILED, False)],
)
def test_only_calls_that_did_something_teach(status: CallStatus, learns: bool) -> None:
    pursuit = Pursuit(Kind.LOOK)
    late = lanes.overdue(running(), NOW)
    made = draft(Book(lanes={ACME: late}, pursuits={ACME: pursuit}))
    made.step_done(ACME, pursuit, Found(Call("b-1", status)))
    ended = made.lane(ACME)
    assert (ended.state, ended.overdue_since) == ("idle", UNSET)
    assert (ended.usual_seconds is not UNSET) is learns


def test_what_is_usual_outlives_the_call() -> None:
    one = lanes.resolve(running(usual=(7.0, 3.0)), completed(), NOW)
    again = lanes.plan(one, planned(seq=2), NOW)
    assert (again.usual_seconds, again.usual_images) == (7.0, 3.0)
