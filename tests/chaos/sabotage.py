"""The harness has teeth: known bugs are put into a copy of the services, and the checker has to see them.

    python -m tests.chaos.sabotage [NAME …]

The bugs are mutants of `tests/mutants`. Harness, external API and checker stay as they are. Exit code 0: every
bug was seen in the API's journal; 1: one was not.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.campaign import Stacks, stacks
from tests.chaos.catalogue import BY_NAME
from tests.chaos.trial import Fault, tried
from tests.mutants.copies import ROOT, copy_of, mutate
from tests.mutants.patches import FOLDER, read

SEED: Final = 1
SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A mutant, by its patch's name, and the fault under which it does harm; `promises` says to what.

    At `level` A an idempotency key makes good what some of them do.
    """

    mutant: str
    fault: str
    promises: tuple[str, ...]
    level: str = "A"


SABOTAGES: Final = (
    Sabotage("05-a-timeout-is-a-failure", "F12:cut", ("I1", "I2", "I4")),
    Sabotage("03-a-new-key-for-every-attempt", "F13", ("I1", "I3")),
    Sabotage("01-no-intent-before-the-bytes", "F02:after_bytes", ("I1", "I3"), "B"),
    Sabotage("09-the-first-webhook-ends-the-call", "F18", ("I1",)),
    Sabotage("11-partition-check-off", "F33", ("I7",)),
    Sabotage("30-a-vanished-call-has-failed", "F15:vanished", ("I1", "I2", "I4")),
    Sabotage("31-an-unknown-status-is-an-end", "F15:unknown", ("I1", "I2", "I4")),
)


@contextmanager
def sabotaged(sabotage: Sabotage) -> Iterator[Fault]:
    """The fault, on services that have the bug, for the block. Raises `PatchDoesNotFitError`."""
    fault = BY_NAME[sabotage.fault]
    with tempfile.TemporaryDirectory(prefix="chaos-sabotage-") as name:
        copy = copy_of(ROOT, Path(name))
        mutate(copy, read(FOLDER / f"{sabotage.mutant}.patch"))
        path = ":".join(sorted(map(str, (copy / "services").iterdir())))
        environment = (*fault.setup.environment, ("PYTHONPATH", path))
        setup = dataclasses.replace(fault.setup, environment=environment, level=sabotage.level)
        yield dataclasses.replace(fault, setup=setup)


async def seen(sabotage: Sabotage, given: Stacks) -> list[str]:
    """What the checker has found of it: broken promises of the kind that it must break."""
    with sabotaged(sabotage) as fault:
        try:
            system = await given.fit_for(fault)
            await tried(system, fault, seed=SEED, seconds=SECONDS)
            found = system.violations()
        finally:
            await given.end()
    return [str(one) for one in found if one.promise in sabotage.promises]


async def all_seen(sabotages: list[Sabotage]) -> bool:
    """Whether the checker sees each of them; says of each what it has found first."""
    unseen = 0
    async with stacks() as given:
        for one in sabotages:
            found = await seen(one, given)
            unseen += not found
            what = f"{len(found)} violations, first {found[0]}" if found else "NOT SEEN"
            sys.stdout.write(f"{one.mutant} under {one.fault}: {what}\n")
            sys.stdout.flush()
    return not unseen


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sabotage", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of mutants' names; all without")
    names = tuple(parser.parse_args().names)
    chosen = [one for one in SABOTAGES if not names or one.mutant.startswith(names)]
    if not chosen:
        parser.error(f"there are {', '.join(one.mutant for one in SABOTAGES)}")
    return 0 if asyncio.run(all_seen(chosen)) else 1


if __name__ == "__main__":
    sys.exit(main())
