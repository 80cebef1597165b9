"""Stories that broke a promise once, or break one of a mutant, break none of the product."""

from __future__ import annotations

import pytest
from tests.model import stories


@pytest.mark.parametrize("name", stories.names())
def test_a_kept_story_breaks_no_promise(name: str) -> None:
    stories.read(name).happen()
