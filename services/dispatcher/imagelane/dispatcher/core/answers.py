"""What the external batch API can say, reduced to what makes a difference."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CallStatus(StrEnum):
    """How a call stands. Whatever word the API uses that is not among these means `ACTIVE`."""

    ACTIVE = "active"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the API shows it. `failed_urls` are those that it names, known to us or not."""

    id: str
    status: CallStatus
    reference: str | None = None
    failed_urls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API has the call, now or since an earlier attempt under the same key."""

    call: Call


@dataclass(frozen=True, slots=True)
class Refused:
    """The request itself is bad, for good; nothing was started. `named` are the URLs at fault.

    `by_image`: some image is at fault, named or not. Without it a new call with the same images may be good.
    """

    reason: str
    named: frozenset[str] = frozenset()
    by_image: bool = True


@dataclass(frozen=True, slots=True)
class Busy:
    """The customer has an active call, or this key is being handled; nothing was started."""

    active: Call | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Not now; nothing was started. `after_seconds` is the API's own wish."""

    after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """The API does not deal with us at all (credentials, address, settings); nothing was started."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unsent:
    """Not one byte of the request reached the API."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Nobody can tell from this whether the API took the request, or how the call stands."""

    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """The call, by its id or our reference."""

    call: Call


@dataclass(frozen=True, slots=True)
class NotFound:
    """The API says that it has no such call."""


StartAnswer = Accepted | Refused | Busy | Later | Denied | Unsent | Unclear
LookAnswer = Found | NotFound | Later | Denied | Unclear
