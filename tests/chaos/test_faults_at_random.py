"""Everything read again, lists cut, and two minutes of kills, pauses and joins at random: the promises hold."""

from __future__ import annotations

from typing import Final

import pytest
from tests.chaos.campaign import Stacks
from tests.chaos.conftest import Note
from tests.chaos.quick import ON_A_STACK, keeps_every_promise, kept_all_of_them

pytestmark = ON_A_STACK
NAMES: Final = ("F29:all", "F35", "MIX")


@pytest.mark.parametrize("name", NAMES)
async def test_every_promise_is_kept_under(name: str, given: Stacks, note: Note) -> None:
    await keeps_every_promise(name, given, note)


async def test_no_later_fault_has_broken_what_was_kept_before(given: Stacks) -> None:
    await kept_all_of_them(NAMES, given)
