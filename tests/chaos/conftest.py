"""One stack for all faults that leave it usable, and what is said at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from tests.chaos.campaign import Stacks, stacks

NOTES: Final = pytest.StashKey[list[str]]()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def given() -> AsyncIterator[Stacks]:
    async with stacks() as made:
        yield made


@pytest.fixture
def notes(request: pytest.FixtureRequest) -> list[str]:
    """Lines to be shown at the end of the session."""
    return request.config.stash.setdefault(NOTES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for note in terminalreporter.config.stash.get(NOTES, []):
        terminalreporter.write_line(note)
