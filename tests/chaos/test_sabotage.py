"""The proof proves something: with a known bug in the services the same checker finds broken promises."""

from __future__ import annotations

from typing import Final

import pytest
from tests.chaos.campaign import Stacks
from tests.chaos.sabotage import SABOTAGES, seen

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(400),
]
NO_ANSWER_IS_A_REFUSAL: Final = SABOTAGES[0]


async def test_the_checker_sees_services_that_take_a_lost_answer_for_a_refusal(
    given: Stacks,
) -> None:
    assert await seen(NO_ANSWER_IS_A_REFUSAL, given)
