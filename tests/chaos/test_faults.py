"""The promises hold under the faults that matter most. The sweep is off: nothing may be lost at all."""

from __future__ import annotations

from typing import Final

import pytest
from tests.chaos.campaign import Stacks, line_of
from tests.chaos.catalogue import BY_NAME
from tests.chaos.trial import tried

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(400),  # the waits within end long before, and say what they waited for
]
SEED: Final = 1
MIX_SECONDS: Final = 120.0
QUICK: Final = (
    "F29:all",
    "F02:before_plan",
    "F02:after_plan",
    "F02:after_attempt",
    "F02:after_bytes",
    "F02:after_2xx",
    "F02:after_active",
    "F02:after_resolve",
    "F03:batcher",
    "F03:after_attempt",
    "F03:after_bytes",
    "F12:dropped",
    "F12:empty",
    "F12:cut",
    "F13",
    "F16",
    "F17",
    "F23",
    "F33",
    "F35",
    "MIX",
)
LAST: Final = ("F27:batches",)


@pytest.mark.parametrize("name", QUICK)
async def test_every_promise_is_kept_under(name: str, given: Stacks, notes: list[str]) -> None:
    await keeps_every_promise(name, given, notes)


async def test_no_later_fault_has_broken_what_was_kept_before(given: Stacks) -> None:
    system = await given.fit_for(BY_NAME["MIX"])
    assert not system.violations()


@pytest.mark.parametrize("name", LAST)
async def test_nothing_is_sent_in_doubt_under(name: str, given: Stacks, notes: list[str]) -> None:
    await keeps_every_promise(name, given, notes)


async def keeps_every_promise(name: str, given: Stacks, notes: list[str]) -> None:
    fault = BY_NAME[name]
    if fault.missing:
        pytest.skip(fault.missing)
    system = await given.fit_for(fault)
    outcome = await tried(system, fault, seed=SEED, seconds=MIX_SECONDS)
    line = line_of(outcome, system.folder)
    notes.append(line.splitlines()[0])
    if outcome.violations or fault.spoils:
        await given.end(keep=bool(outcome.violations))
    assert not outcome.violations, line
