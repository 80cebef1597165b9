"""The lanes keep their promises in any story: hypothesis and dice write them, at every level of the API.

The judge is the API's own journal. `make model EXAMPLES=50000` for a night of it.
"""

from __future__ import annotations

from typing import Final

import pytest
from tests.model import machine
from tests.model.scene import Setup
from tests.model.walks import story, tell

SETUPS: Final = {
    "A": Setup("A"),
    "A, failed images are sent again": Setup("A", item_attempts=3),
    "A, images are dropped and swept": Setup("A", sweeps=True),
    "B": Setup("B", item_attempts=2),
    "C": Setup("C"),
    "D": Setup("D"),
}
EXAMPLES: Final = 150
WALKS: Final = 200
WALK_STEPS: Final = 300

at_each_level = pytest.mark.parametrize("name", SETUPS)


@at_each_level
@pytest.mark.timeout(0)
def test_no_story_of_hypothesis_breaks_a_promise(name: str, request: pytest.FixtureRequest) -> None:
    examples: int = request.config.getoption("--examples", 0)
    machine.run(SETUPS[name], examples or EXAMPLES, at_random=bool(examples))


@at_each_level
@pytest.mark.timeout(0)
def test_no_story_of_dice_breaks_a_promise(name: str, request: pytest.FixtureRequest) -> None:
    examples: int = request.config.getoption("--examples", 0)
    for seed in range(examples or WALKS):
        tell(SETUPS[name], story(SETUPS[name], seed, WALK_STEPS), stuck=seed % 4)
