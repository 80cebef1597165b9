"""What is refused without looking at the list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagelane.contracts.events import ListSubmitted
from imagelane.core.admission import AdmissionPolicy
from imagelane.core.failures import Code
from imagelane.intake.core.refusals import ListRefusedError, Rules, check_admissible

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def check(**said: Any) -> None:
    submitted = ListSubmitted(customer_id="acme", urls=["u"], **said)
    check_admissible(submitted, Rules({"default": 1}, AdmissionPolicy()), now=NOON)


def test_known_recipes_and_destinations_and_future_deadlines_pass() -> None:
    check()
    check(recipe="original-size", deadline=NOON + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("said", "code", "named"),
    [
        ({"recipe": "sepia"}, Code.UNKNOWN_RECIPE, "`sepia`"),
        ({"destination": "moon"}, Code.UNKNOWN_DESTINATION, "`moon`"),
        ({"deadline": NOON}, Code.DEADLINE_PASSED, "2026-11-21T12:00:00+00:00"),
    ],
)
def test_everything_else_is_refused_by_name(said: dict[str, Any], code: Code, named: str) -> None:
    with pytest.raises(ListRefusedError) as caught:
        check(**said)
    assert caught.value.failure.code == code
    assert named in caught.value.failure.reason
