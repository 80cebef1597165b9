"""Tries faults on real processes and a real broker, and ends with a table.

    python -m tests.chaos [--faults F02,F03:batcher] [--seeds N] [--seconds 60] [--minutes N] [--again]

Each run is a line of `build/chaos/campaign.jsonl`. What was tried with the product's code as it is now is not
tried again, so that a campaign can be interrupted: the same command goes on. Without `--seeds` there are 3 runs
of each fault, and 20 of each of those that matter most.

Exit code 0: every promise was kept; 1: one was broken, and its folder is named; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from pathlib import Path

from tests.chaos.campaign import ARTIFACTS, Scope, campaign
from tests.chaos.catalogue import ALL, chosen
from tests.chaos.ledger import Ledger, code_digest
from tests.chaos.table import table


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("--faults", default="", help="names or numbers, separated by commas; all of them if empty")
    add("--seeds", type=int, help="how often each of them is tried")
    add("--first-seed", type=int, default=1)
    add("--seconds", type=float, default=60.0, help="how long faults that go on shall go on")
    add("--minutes", type=float, default=math.inf, help="after so many nothing further is begun")
    add("--again", action="store_true", help="tries also what was tried before")
    add("--table", type=Path, default=ARTIFACTS / "table.md", help="where the table goes, too")
    given = parser.parse_args()
    try:
        faults = chosen(given.faults)
    except ValueError as error:
        parser.error(str(error))
    ledger = Ledger(ARTIFACTS / "campaign.jsonl", code_digest())
    scope = Scope(given.seconds, given.seeds, given.first_seed, given.minutes, given.again)
    whole = asyncio.run(campaign(faults, scope, ledger, _say))
    outcomes = ledger.outcomes()
    lines = table(ALL, outcomes)
    given.table.parent.mkdir(parents=True, exist_ok=True)
    given.table.write_text(lines + "\n", encoding="utf-8")
    _say(f"\n{lines}")
    if not whole:
        _say("\nThe time was over; the same command goes on.")
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
