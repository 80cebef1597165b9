"""Throughput while any service is killed every 20 s, against the same without a kill in the same session.

    python -m tests.chaos.throughput [--images 20000] [--customers 50] [--seed 1]

Exit code 0: every promise was kept, and the throughput under faults is at least 60 % of the other.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.chaos.campaign import ARTIFACTS, image_servers
from tests.chaos.kills import LANE, ROAD
from tests.chaos.starting import Setup, started
from tests.chaos.system import System
from tests.e2e.images import Images

AT_LEAST: Final = 0.6
FIRST_KILL_SECONDS: Final = 5.0
KILL_EVERY_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 900.0
SETUP: Final = Setup(
    environment=(
        ("IMAGELANE_INTAKE__MAX_UNREAD", "20000"),
        ("IMAGELANE_INTAKE__LAG_SECONDS", "1"),
        ("IMAGELANE_BATCHER__FIRST_CALL_IMAGES", "100"),
    )
)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is handed in, and the seed of what is killed."""

    images: int
    customers: int
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `waits` are the longest spans without an image processed, in seconds."""

    images_per_second: float
    kills: int
    violations: list[str]
    longest_wait_seconds: float


async def measured(load: Load, images: Images, *, faults: bool) -> Measured:
    """Hands everything in at once, on a stack of its own, and waits for the end of the last list."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="throughput-", dir=ARTIFACTS))
    async with started(SETUP, folder, images) as system:
        await steady(system)
        began = time.monotonic()
        random = Random(load.seed)
        each = load.images // load.customers
        jobs = [
            system.submit(f"c{number}", each, random=random, slow=False)
            for number in range(load.customers)
        ]
        kills: list[str] = []
        killing = asyncio.create_task(kill(system, random, kills) if faults else nothing())
        try:
            await system.finished(jobs, PATIENCE_SECONDS)
        finally:
            killing.cancel()
        seconds = time.monotonic() - began
        progress = [began, *(at for at in system.onlooker.progress if at > began)]
        waits = [b - a for a, b in itertools.pairwise(progress)]
        violations = [str(one) for one in system.violations()]
        return Measured(load.images / seconds, len(kills), violations, max(waits))


async def steady(system: System) -> None:
    """Waits until a first small list has gone all the way: starting up is not what is measured."""
    await system.finished([system.submit("first", 50, random=Random(0), slow=False)])


async def kill(system: System, random: Random, kills: list[str]) -> None:
    """Kills a process of any service, again and again."""
    await asyncio.sleep(FIRST_KILL_SECONDS)
    while True:
        name = random.choice([*ROAD, *LANE])
        if system.stack.supervisor.pid(name) is not None:
            kills.append(name)
            system.send(name, signal.SIGKILL)
        await asyncio.sleep(KILL_EVERY_SECONDS)


async def nothing() -> None:
    """No fault."""


async def both(load: Load) -> tuple[Measured, Measured]:
    """Without faults, then with them."""
    with image_servers() as images:
        free = await measured(load, images, faults=False)
        say("without faults", free)
        harmed = await measured(load, images, faults=True)
        say("under kills", harmed)
        return free, harmed


def say(what: str, run: Measured) -> None:
    """One line about a run."""
    sys.stdout.write(
        f"{what}: {run.images_per_second:.0f} images/s, {run.kills} kills,"
        f" {len(run.violations)} violations, at most {run.longest_wait_seconds:.1f} s without an image\n"
    )
    sys.stdout.writelines(f"  {violation}\n" for violation in run.violations[:10])
    sys.stdout.flush()


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.throughput", description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--customers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    free, harmed = asyncio.run(both(Load(given.images, given.customers, given.seed)))
    ratio = harmed.images_per_second / free.images_per_second
    sys.stdout.write(f"ratio: {ratio:.0%}, at least {AT_LEAST:.0%} is wanted\n")
    return 1 if free.violations or harmed.violations or ratio < AT_LEAST else 0


if __name__ == "__main__":
    sys.exit(main())
