"""The gateway's pure parts: rates, the memory of submissions, counting lines."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.gateway.core.rates import Rates
from imagelane.gateway.core.recent import Recent
from imagelane.gateway.core.results_text import harmless
from imagelane.gateway.core.submission import LineCount, ListFormat, Submission

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_so_many_at_once_and_then_evenly() -> None:
    rates = Rates(per_minute=60)
    assert [rates.wait_seconds("acme", 100.0) for _ in range(60)] == [0.0] * 60
    assert rates.wait_seconds("acme", 100.0) == pytest.approx(1.0)
    assert rates.wait_seconds("acme", 100.5) == pytest.approx(0.5)
    assert rates.wait_seconds("acme", 101.0) == 0.0
    assert rates.wait_seconds("acme", 101.0) > 0.0


def test_one_customers_rate_is_not_anothers() -> None:
    rates = Rates(per_minute=1)
    assert rates.wait_seconds("acme", 0.0) == 0.0
    assert rates.wait_seconds("umbra", 0.0) == 0.0
    assert rates.wait_seconds("acme", 0.0) == pytest.approx(60.0)


def test_never_more_than_a_minutes_worth_is_saved_up() -> None:
    rates = Rates(per_minute=5)
    rates.wait_seconds("acme", 0.0)
    taken = [rates.wait_seconds("acme", 100_000.0) for _ in range(6)]
    assert taken[:5] == [0.0] * 5
    assert taken[5] > 0.0


def test_customers_that_are_quiet_take_no_memory() -> None:
    rates = Rates(per_minute=5)
    for number in range(1_000):
        rates.wait_seconds(f"customer {number}", 0.0)
    rates.wait_seconds("acme", 200.0)
    assert len(rates._buckets) == 1


def submission(job: str, url: str = "https://a.example/1", customer: str = "acme") -> Submission:
    event = ListSubmitted(customer_id=customer, urls=[url], idempotency_key="k")
    return Submission(job_id=job, idempotency_key="k", event=event, submitted_at=NOW)


def test_another_list_under_a_key_is_known_for_a_while() -> None:
    recent = Recent(max_jobs=10, max_seconds=60.0)
    recent.remember(submission("a"), 0.0)
    assert not recent.is_other(submission("a"), 59.0)
    assert recent.is_other(submission("a", "https://a.example/2"), 59.0)
    assert not recent.is_other(submission("a", "https://a.example/2"), 61.0)


def test_the_memory_is_bounded_and_keeps_the_newest() -> None:
    recent = Recent(max_jobs=2, max_seconds=60.0)
    for job in ("a", "b", "a", "c"):
        recent.remember(submission(job), 0.0)
    assert [recent.find(job, None, 0.0) is not None for job in "abc"] == [True, False, True]


def test_a_recent_job_is_found_by_its_customer_only_and_without_its_list() -> None:
    recent = Recent(max_jobs=2, max_seconds=60.0)
    recent.remember(submission("a"), 0.0)
    assert recent.find("a", "umbra", 0.0) is None
    found = recent.find("a", "acme", 0.0)
    assert found is not None
    assert found.event.urls is UNSET


def lines(content: bytes, list_format: ListFormat | None = None, *, seed: int = 0) -> int | None:
    """The count, however the content is cut."""
    count = LineCount(UNSET if list_format is None else list_format)
    cuts = random.Random(seed)
    while content:
        size = cuts.randint(1, 7) if seed else len(content)
        count.feed(content[:size])
        content = content[size:]
    return count.lines


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0),
        (b"a", 1),
        (b"a\n", 1),
        (b"a\r\nb\r\n", 2),
        (b"\n\n a \n\t\n\r\nb", 2),
        (b"\xef\xbb\xbfa\nb\n", 2),
        (b"\xef\xbb\xbf\n", 0),
        (b"a\nb\n[c\n", 3),
        (b'["a",\n"b"]', None),
        (b'\n {"urls": []}', None),
        (b"\x1f\x8b\n\n\n", None),
    ],
)
def test_lines_are_counted_as_intake_counts_them(
    content: bytes, expected: int | None, seed: int
) -> None:
    assert lines(content, seed=seed) == expected


def test_only_text_is_counted() -> None:
    assert lines(b"a\nb", "csv") is None
    assert lines(b"a\nb", "json") is None
    assert lines(b"[a\nb", "text") == 2
    assert lines(b"\x1f\x8bx", "text") is None


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx"])
def test_a_formula_is_no_formula_any_more(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


@pytest.mark.parametrize(("cell", "shown"), [("x=1", "x=1"), ("", ""), (None, ""), (-1, -1)])
def test_other_cells_stay_as_they_are(cell: object, shown: object) -> None:
    assert harmless(cell) == shown
