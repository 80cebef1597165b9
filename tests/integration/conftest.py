"""What tests of several services stand on, beside the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.postgresql import MISSING, server_programs, serving

from imagelane.tracking.database import DatabaseSettings


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseSettings]:
    """A real PostgreSQL with an empty database; skips where the machine has none."""
    programs = server_programs()
    if programs is None:
        pytest.skip(MISSING)
    with serving(programs) as settings:
        yield settings
