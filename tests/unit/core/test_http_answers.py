from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.failures import Code
from imagelane.core.http_answers import refusal_of, retry_after_seconds

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

MEANINGS = {
    101: (Code.BAD_RESPONSE, False),
    199: (Code.BAD_RESPONSE, False),
    204: (Code.BAD_RESPONSE, False),
    206: (Code.BAD_RESPONSE, False),
    300: (Code.BAD_RESPONSE, False),
    302: (Code.BAD_RESPONSE, False),  # one without a location
    304: (Code.BAD_RESPONSE, False),
    305: (Code.BAD_RESPONSE, False),
    401: (Code.HTTP_REFUSED, False),
    403: (Code.HTTP_REFUSED, False),
    404: (Code.NOT_FOUND, False),
    407: (Code.HTTP_REFUSED, False),
    408: (Code.HTTP_ERROR, True),
    410: (Code.NOT_FOUND, False),
    425: (Code.HTTP_ERROR, True),
    429: (Code.RATE_LIMITED, True),
    451: (Code.HTTP_REFUSED, False),
    500: (Code.HTTP_ERROR, True),
    502: (Code.HTTP_ERROR, True),
    503: (Code.HTTP_ERROR, True),
    599: (Code.HTTP_ERROR, True),
    600: (Code.BAD_RESPONSE, False),
    999: (Code.BAD_RESPONSE, False),
}


@pytest.mark.parametrize(("status", "meaning"), MEANINGS.items())
def test_every_status_but_200_has_a_meaning(status: int, meaning: tuple[Code, bool]) -> None:
    refusal = refusal_of(status, asks_to_wait=False)
    assert (refusal.code, refusal.transient) == meaning
    assert refusal.detail == f"status {status}"


def test_a_503_that_asks_to_wait_is_a_rate_limit() -> None:
    assert refusal_of(503, asks_to_wait=True).code is Code.RATE_LIMITED
    assert refusal_of(500, asks_to_wait=True).code is Code.HTTP_ERROR


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("601", 600.0),
        ("1000000000", 600.0),
        ("9" * 5_000, 600.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 12:00:30 -0000", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("1.5", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_ten_minutes(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text())
def test_no_header_breaks_it(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or 0 <= seconds <= 600
