"""The promises hold under the faults that matter most, one by one. The sweep is off: nothing may be lost at all."""

from __future__ import annotations

from typing import Final

import pytest
from tests.chaos.campaign import Stacks
from tests.chaos.conftest import Note
from tests.chaos.quick import ON_A_STACK, keeps_every_promise, kept_all_of_them

pytestmark = ON_A_STACK
ONE_BY_ONE: Final = (
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
)
LAST: Final = ("F27:batches",)


@pytest.mark.parametrize("name", ONE_BY_ONE)
async def test_every_promise_is_kept_under(name: str, given: Stacks, note: Note) -> None:
    await keeps_every_promise(name, given, note)


async def test_no_later_fault_has_broken_what_was_kept_before(given: Stacks) -> None:
    await kept_all_of_them(ONE_BY_ONE, given)


@pytest.mark.parametrize("name", LAST)
async def test_nothing_is_sent_in_doubt_under(name: str, given: Stacks, note: Note) -> None:
    await keeps_every_promise(name, given, note)
