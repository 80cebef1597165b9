"""Finds a story that breaks a promise, shortens it, and keeps it under a name.

python -m tests.model.search B --seeds 500 --save drain-wait-is-skipped
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial

import structlog
from tests.model import stories
from tests.model.clock import installed
from tests.model.scene import Setup
from tests.model.stories import Kept
from tests.model.walks import Story, breaks, shortest, story


def search(setup: Setup, seeds: int, steps: int) -> Story:
    """The shortest part of the first story that breaks something; empty if none does."""
    for seed in range(seeds):
        found = story(setup, seed, steps)
        what = breaks(setup, found)
        if what:
            return shortest(found, partial(_also_breaks, setup, what))
    return []


def _also_breaks(setup: Setup, what: str, steps: Story) -> bool:
    return breaks(setup, steps) == what


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model.search")
    parser.add_argument("level", choices=list("ABCD"))
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--item-attempts", type=int, default=1)
    parser.add_argument("--drain-seconds", type=float, default=60.0)
    parser.add_argument("--sweeps", action="store_true")
    parser.add_argument("--save", default="")
    given = parser.parse_args()
    setup = Setup(
        given.level,
        item_attempts=given.item_attempts,
        sweeps=given.sweeps,
        drain_seconds=given.drain_seconds,
    )
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with installed():
        found = search(setup, given.seeds, given.steps)
        what = breaks(setup, found)
    for step in found:
        sys.stdout.write(f"{step}\n")
    sys.stdout.write(f"{what or 'no promise is broken'}\n")
    if found and given.save:
        kept = Kept(
            breaks=what,
            level=setup.level,
            item_attempts=setup.item_attempts,
            sweeps=setup.sweeps,
            drain_seconds=setup.drain_seconds,
            steps=list(found),
        )
        stories.save(given.save, kept)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
