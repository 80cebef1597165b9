"""Dead letters by name, by filter, and as a terminal may show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from imagelane.contracts.dead_letters import REPLAY_OF, Origin
from imagelane.intake.core.submissions import read_submission
from imagelane.ops.dead_letters import DeadLetter, Place, Wanted, span
from imagelane.ops.letter_page import letter_page
from imagelane.platform.records import Record

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LETTER = DeadLetter(
    place=Place("urls", 3, 17),
    origin=Origin("urls", 3, 17, 1_000),
    put_aside_at=NOON,
    service="intake",
    reason="customer_id: is missing",
    key=b"acme",
    value=b"\xff\x1b[2J{}",
    headers=[("trace", b"\x07")],
)


@pytest.mark.parametrize(
    "text", ["", "urls", "urls/3", "urls/a/b", "nothing/3/17", "urls/3/17/4", "urls/-1/2"]
)
def test_what_is_no_place_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as urls/3/17"):
        Place.parse(text)


def test_a_place_is_read_as_it_is_written() -> None:
    assert Place.parse(str(LETTER.place)) == LETTER.place


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800)]
)
def test_spans_of_time(text: str, seconds: int) -> None:
    assert span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-2h", "2w", "99999999d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no span of time"):
        span(text)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (Wanted(), True),
        (Wanted(places=frozenset([LETTER.place])), True),
        (Wanted(places=frozenset([Place("urls", 3, 18)])), False),
        (Wanted(key="acme"), True),
        (Wanted(key="acm"), False),
        (Wanted(reason="Customer_ID"), True),
        (Wanted(reason="recipe"), False),
        (Wanted(since=NOON), True),
        (Wanted(until=NOON), False),
        (Wanted(key="acme", reason="recipe"), False),
    ],
)
def test_everything_that_is_asked_for_has_to_fit(wanted: Wanted, *, fits: bool) -> None:
    assert wanted.fits(LETTER) is fits


def test_a_terminal_gets_no_escape_sequences_of_somebody_elses() -> None:
    page = "\n".join(letter_page(LETTER, None))
    assert "\x1b" not in page
    assert "\x07" not in page
    assert "\\xff\\x1b[2J{}" in page


def test_an_unreadable_event_of_ours_says_so_before_it_is_replayed() -> None:
    letter = replace(LETTER, place=Place("requested", 0, 1), value=b"{}")
    assert "customer_id" in letter.trouble()


def test_a_record_that_is_replayed_twice_is_one_job() -> None:
    """Its own place, its first replay and its second: all the same submission."""
    value = msgspec.json.encode({"customer_id": "acme", "urls": ["http://a.example/1.jpg"]})
    first = Record("urls", 3, 17, b"acme", value, [], 1_000)
    header = (REPLAY_OF, str(Origin("urls", 3, 17, 1_000)).encode())
    again = [Record("urls", 5, offset, b"acme", value, [header], 9_000) for offset in (4, 5)]
    assert {read_submission(one).job_id(b"secret") for one in (first, *again)} == {
        read_submission(first).job_id(b"secret")
    }
    other = replace(first, offset=18)
    assert read_submission(other).job_id(b"secret") != read_submission(first).job_id(b"secret")


@pytest.mark.parametrize("text", [b"", b"urls/3/17", b"urls/3/x@5", b"\xff", b"a b/1/2@3"])
def test_a_replay_header_that_is_no_origin_makes_a_record_its_own(text: bytes) -> None:
    assert Origin.replayed([(REPLAY_OF, text)]) is None
