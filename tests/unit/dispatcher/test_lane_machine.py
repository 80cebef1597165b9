"""The lane's state machine: every move from every state, allowed or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any, get_args

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.unit.dispatcher.conftest import LATER, NOW, completed, lane, planned, release

from imagelane.contracts.events import LaneRecorded
from imagelane.contracts.parts import LaneDecision
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core.lane import MEANINGS, TRANSITIONS, IllegalMoveError, Move, State

RETRY = LaneDecision(decision="retry", decided_by="kim", decided_at=NOW)
MOVES: dict[Move, Callable[[LaneRecorded], LaneRecorded]] = {
    Move.PLAN: lambda one: lanes.plan(one, planned(seq=one.last_seq + 1), LATER),
    Move.ATTEMPT: lambda one: lanes.attempt(one, LATER, in_doubt=False),
    Move.DEFER: lambda one: lanes.defer(one, LATER),
    Move.ACCEPT: lambda one: lanes.accept(one, "b-2", LATER),
    Move.OVERDUE: lambda one: lanes.overdue(one, LATER),
    Move.RESOLVE: lambda one: lanes.resolve(one, completed(), LATER),
    Move.REFUSE: lambda one: lanes.refuse(one, completed(), LATER),
    Move.GIVE_UP: lambda one: lanes.give_up(one, completed(), LATER),
    Move.HOLD: lambda one: lanes.hold(one, "why", LATER),
    Move.RELEASE: lambda one: lanes.release(one, RETRY, LATER),
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


def test_every_move_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Move) == {move for _, move in TRANSITIONS}


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
    assert (again.active_since, again.hold_reason, again.held_since) == (NOW, UNSET, UNSET)


def test_a_hold_is_as_old_as_its_first_reason() -> None:
    once = lanes.hold(lane("active"), "why", NOW)
    twice = lanes.hold(once, "another", LATER)
    assert (twice.held_since, twice.hold_reason) == (NOW, "another")


def test_a_released_lane_keeps_its_doubts_and_says_who_has_decided() -> None:
    held = lanes.hold(lane("active"), "why", NOW, in_doubt=True)
    released = lanes.release(held, RETRY, LATER)
    assert released.ambiguous
    assert (released.call_id, released.decision) == ("b-1", RETRY)
    sent = lanes.attempt(released, LATER, in_doubt=True)
    assert (sent.call_id, sent.active_since, sent.decision) == (UNSET, UNSET, RETRY)


@pytest.mark.parametrize(
    ("one", "changes", "words"),
    [
        (lane("held"), {}, ""),
        (lane("idle"), {}, "the lane is not held: it is idle, and its last call is 0"),
        (lane("active"), {}, "the lane is not held: it is active, and its last call is 1"),
        (lane("held"), {"seq": 2}, "the call that is held is 1"),
        (lane("held"), {"occurred_at": NOW - timedelta(microseconds=1)}, "before the lane came"),
    ],
)
def test_a_command_fits_only_the_hold_that_it_is_about(
    one: LaneRecorded, changes: dict[str, Any], words: str
) -> None:
    refusal = lanes.release_refusal(one, replace(release("retry"), **changes))
    assert words in refusal
    assert bool(words) is bool(refusal)


def test_an_idle_lane_has_no_plan() -> None:
    with pytest.raises(IllegalMoveError, match="has no plan"):
        lanes.plan_of(lane("idle"))
    assert lanes.is_busy(lane("held"))
    assert not lanes.is_busy(lane("idle"))
