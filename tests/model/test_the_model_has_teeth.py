"""What is promised rests on what is said here: without it, the model finds the promise broken.

So a green model means something, and no level promises more than the guarantees page says.
"""

from __future__ import annotations

from typing import Final

import pytest
from tests.model import stories
from tests.model.checks import Checks
from tests.model.promises import PromiseBrokenError
from tests.model.scene import Setup
from tests.model.walks import Step, tell
from tests.model.world import World

from imagelane.contracts.commands import ReleaseLane

PAUSED_THEN_REPLACED: Final[list[Step]] = [
    ("expire", (0,)),
    ("assign", (0, 1)),
    ("serve", ()),
    ("serve", ()),
    ("proceed", (0,)),
    ("serve", ()),
]
"""The other worker takes the partition of the first one over, which then wakes."""


def after(world: World, *steps: Step) -> World:
    checks = Checks(world)
    for name, numbers in steps:
        world.do(name, *numbers)
        checks.look()
    return world


def paused(world: World, point: int) -> World:
    """The owner of partition 0 stands still at this point of the transaction that plans a call."""
    return after(world, ("images", (2, 0, 3, 1)), ("gather", ()), ("interrupt", (0, point, 2)))


@pytest.mark.parametrize("level", ["b", "c"])
def test_levels_b_and_c_need_the_wait_for_late_requests(level: str) -> None:
    kept = stories.read(f"level-{level}-without-the-drain-wait")
    with pytest.raises(PromiseBrokenError, match="I3"):
        tell(kept.setup, kept.steps)
    kept.happen()


@pytest.mark.parametrize("point", [0, 1])
def test_a_woken_worker_writes_nothing(point: int) -> None:
    after(paused(World(Setup("A")), point), *PAUSED_THEN_REPLACED).end()


@pytest.mark.parametrize("point", [0, 1])
def test_without_the_fence_a_woken_worker_writes(point: int) -> None:
    world = World(Setup("A"))
    world.broker.is_fenced = False
    with pytest.raises(PromiseBrokenError, match="written by its owner only"):
        after(paused(world, point), *PAUSED_THEN_REPLACED)
    world.end()


def test_what_a_woken_worker_commits_was_waited_for() -> None:
    after(paused(World(Setup("A")), 2), *PAUSED_THEN_REPLACED, ("serve", ())).end()


def test_a_restoration_that_does_not_wait_misses_a_plan() -> None:
    world = World(Setup("A"))
    world.broker.waits_for_open_transactions = False
    with pytest.raises(PromiseBrokenError):
        after(paused(world, 2), *PAUSED_THEN_REPLACED)
    world.end()


def test_level_d_is_as_good_as_what_a_person_says() -> None:
    """A call ran, its answer was lost, and a person says: send it again."""
    lost = [
        ("step", (0, 0)),
        ("serve", ()),
        ("step", (0, 1)),
        ("serve", ()),
        ("end_call", (1, 0, 0)),
    ]
    world = after(World(Setup("D")), ("images", (2, 0, 3, 1)), ("gather", ()), ("serve", ()), *lost)
    held = world.held["corp"]
    assert world.truths("corp") == ["treat_as_done"]
    world.broker.send(
        ReleaseLane(
            customer_id="corp",
            seq=held.last_seq,
            decision="retry",
            decided_by="somebody who has not looked",
            occurred_at=world.clock.at,
        )
    )
    with pytest.raises(PromiseBrokenError, match="I3"):
        after(world, ("serve", ()), ("step", (0, 0)), ("serve", ()), ("step", (0, 0)))
    world.end()
