"""Tries faults on real processes and a real broker, and ends with a table.

    python -m tests.chaos [--faults F02,F03:batcher] [--seeds 3] [--seconds 60] [--table FILE]

Exit code 0: every promise was kept; 1: one was broken, and its folder is named; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.chaos.campaign import ARTIFACTS, campaign
from tests.chaos.catalogue import ALL, chosen
from tests.chaos.table import table


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--faults", default="", help="names or numbers, separated by commas; all of them if empty")
    add("--seeds", type=int, default=3, help="how often each of them is tried")
    add("--first-seed", type=int, default=1)
    add("--seconds", type=float, default=60.0, help="how long faults that go on shall go on")
    add("--table", type=Path, default=ARTIFACTS / "table.md", help="where the table goes, too")
    given = parser.parse_args()
    try:
        faults = chosen(given.faults)
    except ValueError as error:
        parser.error(str(error))
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    outcomes = asyncio.run(campaign(faults, seeds=seeds, seconds=given.seconds, say=_say))
    lines = table(faults if given.faults else ALL, outcomes)
    given.table.parent.mkdir(parents=True, exist_ok=True)
    given.table.write_text(lines + "\n", encoding="utf-8")
    _say(f"\n{lines}")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
