"""How lanes are shown, and what is read from a lane's record about a person's decision."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType
from rich.console import Console

from imagelane.contracts.commands import ReleaseLane
from imagelane.contracts.events import CallCompleted, LaneRecorded
from imagelane.contracts.parts import CallPlan, LaneDecision
from imagelane.ops.client.gateway import PassingError
from imagelane.ops.commanding import moment_to_release
from imagelane.ops.durations import spoken
from imagelane.ops.lane_table import lane_table
from imagelane.ops.lane_watching import watch
from imagelane.ops.lanes import LaneView, effect_of, in_order, view_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AGO = {minutes: NOW - timedelta(minutes=minutes) for minutes in (1, 5, 30)}
PLAN = CallPlan(
    seq=7,
    jobs=[],
    images=120,
    reference="v1-abc",
    body_sha256="0" * 64,
    planned_at=AGO[30],
)
IDLE = LaneRecorded(customer_id="acme", state="idle", last_seq=6, occurred_at=AGO[30])
HELD = msgspec.structs.replace(
    IDLE,
    state="held",
    last_seq=7,
    plan=PLAN,
    attempts=2,
    held_since=AGO[5],
    hold_reason="no answer, and the API offers no way to ask",
)
RELEASE = ReleaseLane(
    customer_id="acme", seq=7, decision="retry", decided_by="kim", occurred_at=NOW
)
DECISION = LaneDecision(decision="retry", decided_by="kim", decided_at=NOW)


def changed(lane: LaneRecorded, **changes: Any) -> LaneRecorded:
    return msgspec.structs.replace(lane, **changes)


def changed_seq(call: CallCompleted, seq: int) -> CallCompleted:
    return msgspec.structs.replace(call, seq=seq)


def ended(decision: LaneDecision | UnsetType = UNSET) -> CallCompleted:
    return CallCompleted(
        customer_id="acme",
        seq=7,
        last_seq=7,
        status="completed",
        images=120,
        jobs=[],
        occurred_at=NOW,
        decision=decision,
    )


def test_a_view_has_every_field_whatever_the_record_has() -> None:
    shown = msgspec.to_builtins(view_of(IDLE))
    assert shown == {
        "customer_id": "acme",
        "state": "idle",
        "seq": 6,
        "images": 0,
        "since": "2026-11-21T11:30:00Z",
        "attempts": 0,
        "hold_reason": None,
        "overdue_since": None,
        "usual_seconds": None,
        "call_id": None,
        "reference": None,
        "ready": None,
        "open_jobs": None,
        "stands_still": None,
    }
    assert msgspec.to_builtins(view_of(HELD)).keys() == shown.keys()


@pytest.mark.parametrize(
    ("lane", "since"),
    [
        (HELD, AGO[5]),
        (changed(HELD, state="planned"), AGO[30]),
        (changed(HELD, state="submitting", first_attempt_at=AGO[1]), AGO[1]),
        (changed(HELD, state="active", active_since=AGO[1]), AGO[1]),
        (changed(HELD, held_since=UNSET), AGO[30]),
    ],
)
def test_a_lane_is_in_its_state_since_it_came_into_it(lane: LaneRecorded, since: datetime) -> None:
    assert view_of(lane).since == since


def test_what_a_person_has_to_look_at_comes_first() -> None:
    lanes = [
        changed(IDLE, customer_id="idle"),
        changed(HELD, customer_id="runs", state="active"),
        changed(HELD, customer_id="slow", state="active", overdue_since=AGO[1]),
        changed(HELD, customer_id="held"),
    ]
    shown = [view.customer_id for view in in_order(map(view_of, lanes))]
    assert shown == ["held", "slow", "runs", "idle"]


def test_the_table_says_why_a_lane_is_held_and_what_is_overdue() -> None:
    slow = changed(
        HELD,
        customer_id="[bold]slow",
        state="active",
        hold_reason=UNSET,
        active_since=AGO[30],
        overdue_since=AGO[5],
        usual_seconds=12.34,
    )
    out = io.StringIO()
    console = Console(file=out, width=150)
    console.print(lane_table([view_of(HELD), view_of(slow)], NOW))
    held_line, slow_line = out.getvalue().splitlines()[1:]
    assert held_line.split()[:6] == ["acme", "held", "7", "120", "5.0", "min"]
    assert "no answer, and the API offers no way to ask" in held_line
    assert slow_line.startswith("[bold]slow"), "nothing of a customer's id is markup"
    assert "12.3 s" in slow_line
    assert "far longer than usual, since 5.0 min" in slow_line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0.0 s"), (0.85, "0.8 s"), (59, "59.0 s"), (90, "1.5 min"), (7_200, "2.0 h")],
)
def test_a_duration_is_told_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == words
    assert spoken(timedelta(days=3)) == "3.0 d"


@pytest.mark.parametrize(
    ("lane", "effect"),
    [
        (HELD, None),
        (changed(HELD, last_answer=changed_seq(ended(), 6)), None),
        (changed(HELD, state="planned", decision=DECISION), "call 7 is under way again: planned"),
        (changed(HELD, decision=DECISION), "call 7 was tried again, and is held again: no answer"),
        (
            changed(IDLE, last_seq=7, last_answer=ended(DECISION)),
            "120 images of call 7 ended as completed",
        ),
        (
            changed(IDLE, last_seq=7, last_answer=ended()),
            "ended as completed, before the command came",
        ),
        (
            changed(HELD, state="active"),
            "the lane had gone on by itself: it is active, with call 7",
        ),
    ],
)
def test_what_came_of_a_release_is_read_from_the_lane(
    lane: LaneRecorded, effect: str | None
) -> None:
    found = effect_of(RELEASE, lane)
    assert found is None if effect is None else effect in str(found)


def test_a_decision_is_never_older_than_the_hold_whatever_the_clocks_say() -> None:
    assert moment_to_release(HELD, NOW) == NOW
    assert moment_to_release(HELD, AGO[30]) > AGO[5]
    assert moment_to_release(IDLE, NOW) == NOW


def test_lanes_are_watched_change_by_change_and_over_a_gateway_that_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("imagelane.ops.lane_watching.EVERY_SECONDS", 0.0)
    held, runs = view_of(HELD), view_of(changed(HELD, state="active", hold_reason=UNSET))
    looks: Iterator[list[LaneView] | BaseException] = iter(
        [[held], [held], PassingError("it is away"), [runs], KeyboardInterrupt()]
    )

    def look() -> list[LaneView]:
        found = next(looks)
        if isinstance(found, BaseException):
            raise found
        return found

    with pytest.raises(KeyboardInterrupt):
        watch(look, as_json=False, with_idle=False)
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "acme: held, call 7 with 120 images: no answer, and the API offers no way to ask",
        "acme: active, call 7 with 120 images",
    ]
    assert "it is away; trying again" in told.err
