"""What a server's answer to a GET means for the fetch: its status, and how long it asks us to wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from imagelane.core.failures import Code

OK: Final = 200
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MAX_RETRY_AFTER_SECONDS: Final = 600.0
MAX_RETRY_AFTER_DIGITS: Final = 12

_GONE: Final = frozenset({404, 410})
_TRY_AGAIN: Final = frozenset({408, 421, 425})
_RATE_LIMITED: Final = 429
_UNAVAILABLE: Final = 503
_CLIENT_ERRORS: Final = range(400, 500)
_SERVER_ERRORS: Final = range(500, 600)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an answer is not the file. `transient`: the same request may succeed later."""

    code: Code
    transient: bool
    detail: str


def refusal_of(status: int, *, asks_to_wait: bool) -> Refusal:
    """What any status but 200 means: 206 or 304 are no files either."""
    detail = f"status {status}"
    if status == _RATE_LIMITED or (status == _UNAVAILABLE and asks_to_wait):
        return Refusal(Code.RATE_LIMITED, transient=True, detail=detail)
    if status in _SERVER_ERRORS or status in _TRY_AGAIN:
        return Refusal(Code.HTTP_ERROR, transient=True, detail=detail)
    if status in _GONE:
        return Refusal(Code.NOT_FOUND, transient=False, detail=detail)
    if status in _CLIENT_ERRORS:
        return Refusal(Code.HTTP_REFUSED, transient=False, detail=detail)
    return Refusal(Code.BAD_RESPONSE, transient=False, detail=detail)


def retry_after_seconds(
    header: str | None, now: datetime, *, most_seconds: float = MAX_RETRY_AFTER_SECONDS
) -> float | None:
    """What a `Retry-After` asks for, in seconds or as a date, at most so long (ten minutes).

    None where there is no such header, or nothing to be understood in it.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:MAX_RETRY_AFTER_DIGITS])
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # the second for a year of a hundred digits
            return None
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), most_seconds)
