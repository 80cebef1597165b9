from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.downloader.core.pace import STRANGER_LIMIT, HostPace, PacePolicy

POLICY = PacePolicy(start=16, most=64, patience_seconds=300)


def known(policy: PacePolicy = POLICY) -> HostPace:
    pace = HostPace(policy)
    pace.answered(0.0, 0.1, 0.05)
    return pace


def busy_round(pace: HostPace, at: float, *, answer_seconds: float = 0.05) -> None:
    """As many answers as its limit allows, all under way at the same time."""
    pace.in_flight = pace.limit
    for _ in range(pace.limit):
        pace.answered(at, at + answer_seconds, answer_seconds)
    pace.in_flight = 0


def failed_round(pace: HostPace, at: float, *, retry_after_seconds: float | None = None) -> None:
    for _ in range(pace.limit):
        pace.troubled(at, at + 0.1, retry_after_seconds)


def test_a_server_that_never_answered_gets_few_images() -> None:
    assert HostPace(POLICY).limit == STRANGER_LIMIT
    assert HostPace(POLICY).is_stranger


def test_after_its_first_answer_it_gets_the_starting_limit() -> None:
    assert known().limit == 16
    assert not known().is_stranger


def test_the_limit_grows_while_it_is_used_up_and_never_beyond_the_cap() -> None:
    pace = known()
    limits = []
    for at in range(1, 60):
        busy_round(pace, at)
        limits.append(pace.limit)
    assert limits == sorted(limits)
    assert limits[-1] == 64


def test_a_limit_that_nobody_uses_does_not_grow() -> None:
    pace = known()
    for at in range(1_000):
        pace.in_flight = 1
        pace.answered(at, at + 0.05, 0.05)
    assert pace.limit == 16


def test_a_round_of_failures_halves_the_limit_once() -> None:
    pace = known()
    failed_round(pace, 1.0)
    busy_round(pace, 0.5)  # began before, so says nothing about growing out of it
    assert pace.limit == 8


def test_it_backs_off_to_single_images_within_four_rounds_and_then_rests() -> None:
    pace = known()
    at, rests = 1.0, []
    for _ in range(8):
        failed_round(pace, at)
        rests.append(pace.resumes_at - at)
        at = max(at + 1, pace.resumes_at)
    assert pace.limit == 1
    assert rests[2] < 0
    assert [round(rest, 1) for rest in rests[3:]] == [0.6, 1.1, 2.1, 4.1, 8.1]


def test_a_rest_between_probes_has_a_bound() -> None:
    pace = known()
    at = 1.0
    for _ in range(2_000):
        failed_round(pace, at)
        at = max(at + 1, pace.resumes_at)
    assert pace.resumes_at - at <= 30


def test_an_answer_ends_the_probing() -> None:
    pace = known()
    for at in range(1, 100, 10):
        failed_round(pace, float(at))
    pace.answered(200.0, 200.1, 0.1)
    assert not pace.is_stranger
    failed_round(pace, 201.0)
    assert pace.resumes_at < 202


def test_retry_after_stops_the_whole_server() -> None:
    pace = known()
    pace.troubled(1.0, 2.0, 30.0)
    assert not pace.may_start(31.9)
    assert pace.may_start(32.0)


def test_a_server_that_fails_whatever_it_is_asked_becomes_a_stranger_again() -> None:
    pace = known()
    for _ in range(3):
        pace.troubled(1.0, 2.0, None)
    assert pace.is_stranger
    assert pace.limit <= STRANGER_LIMIT


def test_rising_latency_shrinks_the_limit_before_anything_fails() -> None:
    pace = known()
    for at in range(1, 30):
        busy_round(pace, at)
    fast = pace.limit
    for at in range(30, 40):
        busy_round(pace, at, answer_seconds=0.8)
    assert pace.limit < fast / 2


def test_a_server_that_stays_slower_is_taken_as_it_is_in_the_end() -> None:
    pace = known()
    for at in range(1, 600):
        busy_round(pace, at, answer_seconds=0.8)
    assert pace.limit == 64


def test_noise_of_our_own_machine_is_no_latency() -> None:
    pace = known()
    for at in range(1, 100):
        busy_round(pace, at, answer_seconds=0.001 if at % 2 else 0.09)
    assert pace.limit == 64


def test_a_server_is_hopeless_only_after_our_patience() -> None:
    pace = known()
    at = 1.0
    while at < 302:
        assert not pace.is_hopeless(at)
        failed_round(pace, at)
        at = max(at + 1, pace.resumes_at)
    assert pace.is_hopeless(at)
    pace.answered(at, at, None)
    assert not pace.is_hopeless(at + 1_000)


def test_a_single_failure_long_ago_is_not_hopeless() -> None:
    pace = known()
    pace.troubled(1.0, 1.0, None)
    assert not pace.is_hopeless(10_000.0)


signals = st.tuples(
    st.sampled_from(("answered", "troubled")),
    st.floats(0, 5),
    st.none() | st.floats(0, 600),
    st.integers(0, 64),
)


@given(
    st.integers(1, 64),
    st.integers(1, 64),
    st.lists(signals, max_size=200),
)
def test_the_limit_stays_between_one_and_the_cap(
    start: int, most: int, told: list[tuple[str, float, float | None, int]]
) -> None:
    pace = HostPace(PacePolicy(start=start, most=most))
    now = 0.0
    for signal, seconds, extra, in_flight in told:
        pace.in_flight = in_flight
        before, started_at = pace.limit, now
        now += seconds
        if signal == "answered":
            pace.answered(started_at, now, extra)
        else:
            pace.troubled(started_at, now, extra)
            assert pace.limit <= before
            assert extra is None or pace.resumes_at >= now + extra
        assert 1 <= pace.limit <= most


@pytest.mark.parametrize("start", [1, 16, 64])
def test_the_start_is_never_above_the_cap(start: int) -> None:
    assert known(PacePolicy(start=start, most=8)).limit <= 8
