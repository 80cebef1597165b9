"""When to look, and when to try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.dispatcher.core.polling import Bounds, back_off, look_delay

BOUNDS = Bounds(0.2, 5.0)


@pytest.mark.parametrize(
    ("age", "delay"), [(-3_600, 0.2), (0, 0.2), (1, 0.2), (10, 1.0), (50, 5.0), (86_400, 5.0)]
)
def test_a_call_is_looked_at_after_a_tenth_of_its_age_within_bounds(age: int, delay: float) -> None:
    assert look_delay(age, BOUNDS) == pytest.approx(delay)


@pytest.mark.parametrize(("failures", "longest"), [(0, 0.1), (1, 0.2), (3, 0.8), (9, 5), (999, 5)])
def test_waits_double_up_to_the_bound(failures: int, longest: float) -> None:
    assert back_off(failures, 1.0, BOUNDS) == pytest.approx(longest)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_jitter_takes_any_part_of_the_wait(failures: int, luck: float) -> None:
    wait = back_off(failures, luck, BOUNDS)
    assert 0 <= wait <= BOUNDS.max_seconds
    assert wait == pytest.approx(luck * back_off(failures, 1.0, BOUNDS))
