"""Why a whole list does not become a job."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.core.admission import AdmissionPolicy, UrlRefusedError
from imagelane.core.failures import Code, failure
from imagelane.core.notifying import admit_notify_url
from imagelane.core.recipes import RECIPES


class ListRefusedError(Exception):
    """The list will not become a job. `failure` may be shown to the customer."""

    def __init__(self, code: Code, detail: str = "") -> None:
        self.failure = failure(code, detail)
        super().__init__(self.failure.reason)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a submission may name: these destinations, and a `notify_url` that may be posted to."""

    destinations: Container[str]
    policy: AdmissionPolicy
    allow_http: bool = False


def check_admissible(submitted: ListSubmitted, rules: Rules, *, now: datetime) -> None:
    """Raises `ListRefusedError` for what can be refused without looking at the list."""
    if submitted.recipe not in RECIPES:
        raise ListRefusedError(Code.UNKNOWN_RECIPE, f"`{submitted.recipe}`")
    if submitted.destination not in rules.destinations:
        raise ListRefusedError(Code.UNKNOWN_DESTINATION, f"`{submitted.destination}`")
    if submitted.deadline is not UNSET and submitted.deadline <= now:
        raise ListRefusedError(Code.DEADLINE_PASSED, submitted.deadline.isoformat())
    if submitted.notify_url is not UNSET:
        try:
            admit_notify_url(submitted.notify_url, rules.policy, allow_http=rules.allow_http)
        except UrlRefusedError as error:
            raise ListRefusedError(Code.NOTIFY_URL_REFUSED, error.detail) from error
