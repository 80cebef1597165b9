"""When records that cannot be read are too many, and when they are only somebody's mistakes."""

from __future__ import annotations

import pytest

from imagelane.core.poison import WINDOW_SECONDS, PoisonFloodError, PoisonGauge


def test_the_first_bad_records_are_mistakes_whatever_share_they_have() -> None:
    gauge = PoisonGauge(0.05, 100)
    for number in range(1, 101):
        gauge.unreadable(0.0, number)
    with pytest.raises(PoisonFloodError, match="101 of the last 101 records, within 60 s"):
        gauge.unreadable(0.0, 101)


def test_a_share_below_the_ratio_goes_on_for_ever() -> None:
    gauge = PoisonGauge(0.05, 100)
    for number in range(1, 10_000):
        gauge.unreadable(number * 0.1, number * 21)


def test_a_share_above_the_ratio_is_a_flood() -> None:
    gauge = PoisonGauge(0.05, 100)
    for number in range(1, 101):
        gauge.unreadable(number * 0.1, number * 19)
    with pytest.raises(PoisonFloodError):
        gauge.unreadable(10.1, 101 * 19)


def test_good_records_of_long_ago_do_not_excuse_a_flood() -> None:
    gauge = PoisonGauge(0.05, 100)
    for number in range(100):
        gauge.unreadable(1_000.0, 1_000_000 + number)
    with pytest.raises(PoisonFloodError):
        gauge.unreadable(1_000.0, 1_000_100)


def test_bad_records_that_come_slowly_are_no_flood_even_without_good_ones() -> None:
    gauge = PoisonGauge(0.05, 100)
    for number in range(1, 1_000):
        gauge.unreadable(number * WINDOW_SECONDS / 99, number)


def test_a_ratio_of_one_never_stops() -> None:
    gauge = PoisonGauge(1.0, 0)
    for number in range(1, 1_000):
        gauge.unreadable(0.0, number)


def test_a_limit_of_none_stops_at_the_first() -> None:
    with pytest.raises(PoisonFloodError):
        PoisonGauge(0.05, 0).unreadable(0.0, 1)
