"""The state machines of lanes and jobs: tables that say everything, and the code that obeys them."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import pytest
from tests.unit.batcher.conftest import Desk

from imagelane.batcher.core import job_life, lane_life
from imagelane.batcher.core.job import Job
from imagelane.batcher.core.lane import FinishedJob, Lane
from imagelane.batcher.core.states import IllegalMoveError
from imagelane.contracts import events as e

MACHINES: dict[str, Any] = {"job": job_life, "lane": lane_life}


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_but_the_first_can_be_reached_and_every_move_happens(name: str) -> None:
    machine = MACHINES[name]
    first, *others = get_args(machine.State)
    assert {state for state, _ in machine.TRANSITIONS} <= {first, *others}
    assert set(machine.TRANSITIONS.values()) >= set(others)
    assert {move for _, move in machine.TRANSITIONS} == set(machine.Move)


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_leads_to_the_end(name: str) -> None:
    machine = MACHINES[name]
    ends = {"job": "forgotten", "lane": "idle"}
    good = {ends[name]}
    for _ in get_args(machine.State):
        good |= {state for (state, _), after in machine.TRANSITIONS.items() if after in good}
    assert good == set(get_args(machine.State))


@pytest.mark.parametrize(
    ("state", "move"), list(product(get_args(lane_life.State), lane_life.Move))
)
def test_a_lane_moves_as_its_table_says_or_not_at_all(
    desk: Desk, state: lane_life.State, move: lane_life.Move
) -> None:
    lane = Lane("acme", desk.rules, state=state)
    if (state, move) in lane_life.TRANSITIONS:
        lane.move(move)
        assert lane.state == lane_life.TRANSITIONS[state, move]
    else:
        with pytest.raises(IllegalMoveError, match=f"{move} while {state}"):
            lane.move(move)
        assert lane.state == state


@pytest.mark.parametrize(("state", "move"), list(product(get_args(job_life.State), job_life.Move)))
def test_a_job_moves_as_its_table_says_or_not_at_all(
    desk: Desk, state: job_life.State, move: job_life.Move
) -> None:
    over = e.JobFinished(
        customer_id="acme",
        job_id="a" * 32,
        images=0,
        delivered=0,
        failed=0,
        cancelled=0,
        occurred_at=desk.now.at,
    )
    for job in (Job("a" * 32, desk.now.at, state=state), FinishedJob(over, [], state=state)):
        if (state, move) in job_life.TRANSITIONS:
            job.move(move)
            assert job.state == job_life.TRANSITIONS[state, move]
        else:
            with pytest.raises(IllegalMoveError, match=f"{move} while {state}"):
                job.move(move)
            assert job.state == state


def lane_states(desk: Desk) -> list[lane_life.State]:
    return [lane.state for lane in desk.lanes]


def test_a_lane_goes_its_round(desk: Desk) -> None:
    desk.accepted()
    assert lane_states(desk) == ["idle"]
    desk.processed([0])
    assert lane_states(desk) == ["gathering"]
    desk.cancelled()
    assert lane_states(desk) == ["idle"]
    desk.processed(range(100), "b")
    assert lane_states(desk) == ["asking"]
    desk.restart()
    assert lane_states(desk) == ["asking"]
    desk.completed(1, desk.outcome("b", returned=[5], delivered=range(99)))
    assert lane_states(desk) == ["warm"]  # image 99 was not mentioned: its fate is in doubt
    desk.told(1, job=desk.outcome("b", delivered=range(100)))
    assert lane_states(desk) == ["idle"]


def test_a_job_goes_its_way(desk: Desk) -> None:
    def states() -> list[job_life.State]:
        (lane,) = desk.lanes
        return [*(one.state for one in lane.jobs.values())] + [
            one.state for one in lane.finished.values()
        ]

    desk.told(0, job=desk.outcome(failed=[1]))
    assert states() == ["unheard"]
    desk.accepted()
    assert states() == ["open"]
    desk.sealed(2)
    assert states() == ["sealed"]
    desk.cancelled()
    assert states() == ["ending"]
    desk.told(0, job=desk.outcome(failed=[1], cancelled=[0]))
    assert states() == ["told"]
