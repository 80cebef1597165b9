"""What the quick tests of faults have in common. Each of their files has a stack of its own, beside the other one's."""

from __future__ import annotations

from typing import Final

import pytest
from tests.chaos.campaign import Stacks, line_of
from tests.chaos.catalogue import BY_NAME
from tests.chaos.conftest import Note
from tests.chaos.trial import tried

ON_A_STACK: Final = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(400),  # the waits within end long before, and say what they waited for
]
SEED: Final = 1
MIX_SECONDS: Final = 120.0


async def keeps_every_promise(name: str, given: Stacks, note: Note) -> None:
    """Tries the fault. The stack is ended if it cannot be used any more, and kept if a promise was broken."""
    fault = BY_NAME[name]
    if fault.missing:
        pytest.skip(fault.missing)
    system = await given.fit_for(fault)
    outcome = await tried(system, fault, seed=SEED, seconds=MIX_SECONDS)
    line = line_of(outcome, system.folder)
    note(line.splitlines()[0])
    if outcome.violations or fault.spoils:
        await given.end(keep=bool(outcome.violations))
    assert not outcome.violations, line


async def kept_all_of_them(names: tuple[str, ...], given: Stacks) -> None:
    """No later fault has broken what was kept when an earlier one was tried, on the same stack."""
    system = await given.fit_for(BY_NAME["MIX"])
    trials = sum(entry.get("fault") == "trial" for entry in system.history.entries)
    assert trials >= len(names), "they were not all tried on this stack"
    assert not system.violations()
