"""Why a whole list does not become a job."""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code, failure
from imagelane.core.recipes import RECIPES


class ListRefusedError(Exception):
    """The list will not become a job. `failure` may be shown to the customer."""

    def __init__(self, code: Code, detail: str = "") -> None:
        self.failure = failure(code, detail)
        super().__init__(self.failure.reason)


def check_admissible(
    submitted: ListSubmitted, *, destinations: Container[str], now: datetime
) -> None:
    """Raises `ListRefusedError` for what can be refused without looking at the list."""
    if submitted.recipe not in RECIPES:
        raise ListRefusedError(Code.UNKNOWN_RECIPE, f"`{submitted.recipe}`")
    if submitted.destination not in destinations:
        raise ListRefusedError(Code.UNKNOWN_DESTINATION, f"`{submitted.destination}`")
    if submitted.deadline is not UNSET and submitted.deadline <= now:
        raise ListRefusedError(Code.DEADLINE_PASSED, submitted.deadline.isoformat())
