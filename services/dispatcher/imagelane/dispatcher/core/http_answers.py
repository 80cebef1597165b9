"""What an HTTP answer of the batch API means. Nothing in it is trusted: every status and every body has a meaning.

`body` is None where it could not be read as a whole: cut off, endless, too large, too late.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from imagelane.dispatcher.core.answers import (
    Accepted,
    Busy,
    Call,
    CallStatus,
    Denied,
    Found,
    Later,
    LookAnswer,
    NotFound,
    Refused,
    StartAnswer,
    Unclear,
)

TAKEN: Final = frozenset({200, 201, 202})
REFUSING: Final = frozenset({400, 413, 422})
NOT_NOW: Final = frozenset({425, 429})
BUSY: Final = 409
GONE: Final = frozenset({404, 410})
UNAVAILABLE: Final = 503
FORBIDDING: Final = frozenset({401, 403})
NOT_FOR_US: Final = frozenset(range(300, 500)) - {408}
"""Redirections, and what 4xx remain: credentials, address or method are wrong, not the images."""
MAX_ID_CHARS: Final = 500
MAX_QUOTED_CHARS: Final = 200
MAX_JSON_VALUES: Final = 1_000_000
"""More in an answer makes it unreadable: some bytes of JSON may become a hundred times as many in memory."""
ABOUT_THE_KEY: Final = re.compile(r"idempoten|\bkey was (already )?used\b", re.IGNORECASE)

_statuses: Final = {status.value: status for status in CallStatus}


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose call an answer must be about."""

    customer_id: str
    reference: str


def start_answer(
    status: int, retry_after: str | None, body: bytes | None, *, call: Expected, now: datetime
) -> StartAnswer:
    """The meaning of an answer to `POST /batches`."""
    told = _json(body)
    if status in TAKEN:
        return _taken(status, told, call)
    if status == BUSY:
        return Busy(_call(_member(told, "active"), call.customer_id))
    if status in REFUSING and not _is_about_the_key(told):
        return Refused(_said(status, told), _urls(_member(told, "invalid")))
    if _is_later(status, retry_after, now):
        return Later(_seconds(retry_after, now))
    if status in NOT_FOR_US:
        return Denied(_said(status, told))
    return Unclear(_said(status, told))


def look_answer(
    status: int,
    retry_after: str | None,
    body: bytes | None,
    *,
    call_id: str,
    customer_id: str,
    now: datetime,
) -> LookAnswer:
    """The meaning of an answer to `GET /batches/{id}`."""
    if status in TAKEN:
        call = _call(_json(body), customer_id)
        if call is None or call.id != call_id:
            return Unclear(f"the API answered {status} without the call that was asked for")
        return Found(call)
    if status in GONE:
        return NotFound()
    return _no_look(status, retry_after, body, now)


def find_answer(
    status: int, retry_after: str | None, body: bytes | None, *, call: Expected, now: datetime
) -> LookAnswer:
    """The meaning of an answer to `GET /batches?customer=…&reference=…`."""
    if status not in TAKEN:
        return _no_look(status, retry_after, body, now)
    listed = _member(_json(body), "batches")
    if not isinstance(listed, list):
        return Unclear(f"the API answered {status} without a list of batches")
    ours = [one for one in listed if _member(one, "reference") == call.reference]
    calls = [_call(one, call.customer_id) for one in ours]
    if None in calls:
        return Unclear("the API lists our call in a way that cannot be read")
    found = [one for one in calls if one is not None]
    if not found:
        return NotFound()
    return Found(min(found, key=lambda one: one.status is not CallStatus.ACTIVE))


def _taken(status: int, told: Any, expected: Expected) -> StartAnswer:
    call = _call(told, expected.customer_id)
    if call is None:
        return Unclear(f"the API answered {status} without a readable batch")
    if call.reference not in (None, expected.reference):
        return Unclear(f"the API answered {status} with another batch than ours")
    return Accepted(call)


def _no_look(status: int, retry_after: str | None, body: bytes | None, now: datetime) -> LookAnswer:
    if status in FORBIDDING:
        return Denied(_said(status, _json(body)))
    if _is_later(status, retry_after, now):
        return Later(_seconds(retry_after, now))
    return Unclear(_said(status, _json(body)))


def _is_later(status: int, retry_after: str | None, now: datetime) -> bool:
    # A 503 that names no time may come from a proxy which has already passed the request on.
    return status in NOT_NOW or (status == UNAVAILABLE and _seconds(retry_after, now) is not None)


def _is_about_the_key(told: Any) -> bool:
    """The key is said to have come with another body: no fault of the images, whoever's it is."""
    said = [_member(told, name) for name in ("error", "type", "title", "detail")]
    return any(ABOUT_THE_KEY.search(words) for words in said if isinstance(words, str))


def _json(body: bytes | None) -> Any:
    if body is None or sum(body.count(one) for one in (b",", b"[", b"{")) > MAX_JSON_VALUES:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _call(value: Any, customer_id: str) -> Call | None:
    call_id = _member(value, "id")
    if not isinstance(call_id, str) or not 1 <= len(call_id) <= MAX_ID_CHARS:
        return None
    if _member(value, "customer") not in (None, customer_id):
        return None
    status, reference = _member(value, "status"), _member(value, "reference")
    return Call(
        id=call_id,
        status=_statuses.get(status, CallStatus.ACTIVE)
        if isinstance(status, str)
        else CallStatus.ACTIVE,
        reference=reference if isinstance(reference, str) else None,
        failed_urls=_urls(_member(value, "failed")),
    )


def _urls(items: Any) -> frozenset[str]:
    if not isinstance(items, list):
        return frozenset()
    urls = (item if isinstance(item, str) else _member(item, "url") for item in items)
    return frozenset(url for url in urls if isinstance(url, str))


def _said(status: int, told: Any) -> str:
    error = _member(told, "error")
    if not isinstance(error, str):
        return f"the API answered {status}"
    quoted = "".join(one if one.isprintable() else " " for one in error[:MAX_QUOTED_CHARS])
    return f"the API answered {status}: {quoted}"


def _seconds(retry_after: str | None, now: datetime) -> float | None:
    if retry_after is None:
        return None
    if re.fullmatch(r"[0-9]+", retry_after.strip()):
        return float(retry_after)  # however many digits: it is bounded where it is obeyed
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=now.tzinfo)
    return max(0.0, (at - now).total_seconds())
