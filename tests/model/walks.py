"""Stories that dice write, and the way from a long story to a short one that breaks the same promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from tests.model.checks import Checks
from tests.model.customers import CUSTOMERS
from tests.model.healing import heal
from tests.model.promises import PromiseBrokenError
from tests.model.scene import Setup
from tests.model.world import World

Step = tuple[str, tuple[int, ...]]
Story = Sequence[Step]

RANGES: Final[dict[str, tuple[int, tuple[int, ...]]]] = {
    # name: weight, and how many values each number has
    "images": (12, (4, 6, 3, 6)),
    "seal": (1, (4,)),
    "cancel": (1, (4,)),
    "spoil": (1, (4, 2, 3)),
    "repeat": (2, (7, 2, 6)),
    "sweep": (2, ()),
    "pass_time": (4, (6,)),
    "wait_for_next": (12, ()),
    "jump": (1, (4,)),
    "gather": (20, ()),
    "fold": (6, (2, 5, 9, 2)),
    "decide": (4, (2,)),
    "make_durable": (4, (2, 5)),
    "tick": (2, (2,)),
    "lose_batcher": (2, (2, 3, 2, 1_000)),
    "wake_batcher": (2, (2, 5, 6)),
    "lose_table": (1, (2,)),
    "start": (2, (3,)),
    "supervise": (12, ()),
    "serve": (36, ()),
    "turn": (8, (4, 5, 3)),
    "interrupt": (4, (4, 4, 6)),
    "pause": (1, (4,)),
    "cut_off": (1, (4,)),
    "proceed": (10, (4,)),
    "kill": (1, (4,)),
    "restore": (4, (4,)),
    "read_log": (2, (4,)),
    "expire": (2, (4,)),
    "assign": (4, (2, 4)),
    "time_out": (1, (4,)),
    "rewind": (1, (2, 2, 9)),
    "mistrust": (1, (4, 3)),
    "tell": (4, (4, 5)),
    "step": (56, (4, 13)),
    "arrive": (8, (4, 3)),
    "reply": (5, (4, 2)),
    "end_call": (16, (3, 3, 16)),
    "release": (2, (3, 2)),
    "foreign_call": (1, (3,)),
    "dislike": (1, (4, 64, 2)),
    "hint": (3, (3, 3, 3)),
}


def story(setup: Setup, seed: int, steps: int) -> Story:
    luck = Random(seed)
    names, weights = zip(*((name, weight) for name, (weight, _) in RANGES.items()), strict=True)
    chosen = luck.choices(names, weights=weights, k=steps)
    told: list[Step] = [
        (name, tuple(luck.randrange(many) for many in RANGES[name][1])) for name in chosen
    ]
    if setup.level == "A" and seed % 4 == 0:
        told.insert(luck.randrange(steps), ("sleep_long", (luck.randint(1, 30),)))
    return told


def tell(setup: Setup, steps: Story, *, stuck: int = 0) -> None:
    """Lets the story happen, and then everything heal. Raises `PromiseBrokenError`."""
    world = World(setup)
    checks = Checks(world)
    try:
        for name, numbers in steps:
            world.do(name, *numbers)
            checks.look()
        heal(world, checks, stuck=[*CUSTOMERS, ""][stuck])
    finally:
        world.end()


def breaks(setup: Setup, steps: Story) -> str:
    """Which promise the story breaks, or how the product fails in it; an empty string if neither."""
    try:
        tell(setup, steps)
    except PromiseBrokenError as error:
        return error.promise
    except Exception as error:  # noqa: BLE001 # a product that fails is what is looked for
        return f"{type(error).__name__} in the product"
    return ""


def shortest(steps: Story, still: Callable[[Story], bool]) -> Story:
    """A part of the story of which no single step can be left out."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            shorter = [*steps[:at], *steps[at + size :]]
            if still(shorter):
                steps = shorter
            else:
                at += size
        size //= 2
    return steps
