"""The lane's state machine: every move from every state, allowed or not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import get_args

import pytest
from msgspec import UNSET
from tests.unit.dispatcher.conftest import LATER, NOW, completed, lane, planned

from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.lane import TRANSITIONS, IllegalMoveError, Move, State

MOVES: dict[Move, Callable[[LaneRecorded], LaneRecorded]] = {
    Move.PLAN: lambda one: lanes.plan(one, planned(seq=one.last_seq + 1), LATER),
    Move.ATTEMPT: lambda one: lanes.attempt(one, LATER, in_doubt=False),
    Move.DEFER: lambda one: lanes.defer(one, LATER),
    Move.ACCEPT: lambda one: lanes.accept(one, "b-2", LATER),
    Move.RESOLVE: lambda one: lanes.resolve(one, completed(), LATER),
    Move.REFUSE: lambda one: lanes.refuse(one, completed(), LATER),
    Move.HOLD: lambda one: lanes.hold(one, "why", LATER),
}
STATES: tuple[State, ...] = get_args(State)


@pytest.mark.parametrize(("state", "move"), list(product(STATES, Move)))
def test_a_move_leads_where_the_table_says_or_raises(state: State, move: Move) -> None:
    before = lane(state)
    if (state, move) in TRANSITIONS:
        after = MOVES[move](before)
        assert after.state == TRANSITIONS[state, move]
        assert after.occurred_at == LATER
    else:
        with pytest.raises(IllegalMoveError, match=f"{move} of a lane that is {state}"):
            MOVES[move](before)
    assert before == lane(state)  # nothing is changed in place


def test_every_state_can_be_left_and_reached() -> None:
    assert {state for state, _ in TRANSITIONS} == set(STATES)
    assert set(TRANSITIONS.values()) == set(STATES)


@pytest.mark.parametrize("seq", [2, 5])
def test_only_the_next_seq_can_be_planned(seq: int) -> None:
    with pytest.raises(IllegalMoveError, match="planned after 0"):
        lanes.plan(lane("idle"), planned(seq=seq), NOW)


def test_planning_consumes_the_seq_and_forgets_the_last_answer() -> None:
    idle = lanes.resolve(lane("active"), completed(), NOW)
    assert idle.last_answer == completed()
    again = lanes.plan(idle, planned(seq=2), NOW)
    assert (again.last_seq, again.last_answer) == (2, UNSET)


def test_attempts_are_counted_and_doubt_stays() -> None:
    once = lanes.attempt(lane("planned"), NOW, in_doubt=False)
    twice = lanes.attempt(once, LATER, in_doubt=True)
    thrice = lanes.attempt(twice, LATER, in_doubt=False)
    assert (once.attempts, thrice.attempts) == (1, 3)
    assert not once.ambiguous
    assert thrice.ambiguous
    assert thrice.first_attempt_at == NOW


def test_an_attempt_of_unknown_fate_is_neither_taken_back_nor_refused() -> None:
    in_doubt = lane("submitting", ambiguous=True)
    with pytest.raises(IllegalMoveError, match="taken back"):
        lanes.defer(in_doubt, NOW)
    with pytest.raises(IllegalMoveError, match="not definite"):
        lanes.refuse(in_doubt, completed(), NOW)


def test_the_end_of_a_plan_leaves_nothing_of_it_but_its_answer() -> None:
    ended = lanes.resolve(lanes.hold(lane("active"), "why", NOW, in_doubt=True), completed(), LATER)
    assert ended == LaneRecorded(
        customer_id="acme", state="idle", last_seq=1, occurred_at=LATER, last_answer=completed()
    )


def test_a_call_seen_again_after_a_hold_keeps_its_age() -> None:
    held = lanes.hold(lane("active"), "x" * 3_000, NOW)
    assert len(str(held.hold_reason)) == 2_000
    again = lanes.accept(held, "b-1", LATER)
    assert (again.active_since, again.hold_reason) == (NOW, UNSET)


def test_an_idle_lane_has_no_plan() -> None:
    with pytest.raises(IllegalMoveError, match="has no plan"):
        lanes.plan_of(lane("idle"))
    assert lanes.is_busy(lane("held"))
    assert not lanes.is_busy(lane("idle"))
