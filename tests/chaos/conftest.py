"""One stack for all faults that leave it usable, and what is said at the end."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

import pytest
import pytest_asyncio
from tests.chaos.campaign import Stacks, stacks

NOTE: Final = "note"
Note = Callable[[str], None]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def given() -> AsyncIterator[Stacks]:
    async with stacks() as made:
        yield made


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Takes a line to be shown at the end of the session, whichever process the test runs in."""
    return partial(record_property, NOTE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", "") == "call":
            for name, text in report.user_properties:
                if name == NOTE:
                    terminalreporter.write_line(text)
