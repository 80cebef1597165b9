from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.throughput import LeastPace

RATE = 1_000
WINDOW_SECONDS = 10.0


def found_out_at(pieces: list[tuple[float, int]]) -> float | None:
    """When a body of pieces (seconds since the last one, bytes) turns out to be too slow."""
    pace, now, received = LeastPace(RATE, WINDOW_SECONDS, 0.0), 0.0, 0
    for seconds, size in pieces:
        now, received = now + seconds, received + size
        if not pace.is_kept(received, now):
            return now
    return None


def test_a_drip_is_found_out_after_one_window() -> None:
    at = found_out_at([(0.1, 1)] * 1_000)
    assert at is not None
    assert 10 <= at <= 11


def test_a_burst_buys_no_time_beyond_its_own_window() -> None:
    at = found_out_at([(0.1, 10**9), *[(0.1, 1)] * 1_000])
    assert at is not None
    assert at <= 12


def test_a_burst_in_the_middle_of_two_windows_does_not_count_twice() -> None:
    at = found_out_at([*[(0.1, 1)] * 90, (0.1, 15_000), *[(0.1, 1)] * 1_000])
    assert at is not None
    assert at <= 21


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=300))
def test_whoever_keeps_the_pace_is_never_found_out(pauses: list[float]) -> None:
    assert found_out_at([(one, round(one * RATE) + 1) for one in pauses]) is None


@given(st.lists(st.tuples(st.floats(0.01, 2.0), st.integers(0, 3_000)), max_size=200))
def test_a_whole_window_of_too_little_is_always_found_out(pieces: list[tuple[float, int]]) -> None:
    slow = [*pieces, *[(0.5, RATE // 4)] * 30]
    assert found_out_at(slow) is not None
