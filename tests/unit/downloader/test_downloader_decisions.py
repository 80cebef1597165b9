from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imagelane.downloader.core.backlog import Backlog, BacklogBounds
from imagelane.downloader.core.rates import rated_domain
from imagelane.downloader.core.retries import retry_delay_seconds
from imagelane.downloader.core.shares import CustomerShares


def test_a_retry_waits_for_any_part_of_a_bound_that_doubles() -> None:
    assert retry_delay_seconds(1, 0.0, retry_after_seconds=None) == 0.0
    assert retry_delay_seconds(1, 1.0, retry_after_seconds=None) == 2.0
    assert retry_delay_seconds(2, 0.5, retry_after_seconds=None) == 2.0
    assert retry_delay_seconds(3, 1.0, retry_after_seconds=None) == 8.0
    assert retry_delay_seconds(10, 1.0, retry_after_seconds=None) == 30.0


@given(st.integers(1, 10), st.floats(0, 1), st.floats(0, 600))
def test_a_retry_never_comes_before_the_server_wants_it(
    tries: int, fraction: float, retry_after: float
) -> None:
    delay = retry_delay_seconds(tries, fraction, retry_after_seconds=retry_after)
    assert retry_after <= delay <= retry_after + 30


def test_fetching_stops_beyond_the_bound_in_images() -> None:
    backlog = Backlog(BacklogBounds(images=2_000, bytes=10**12))
    assert not backlog.is_full
    backlog.seen(2_000)
    assert not backlog.is_full
    backlog.seen(2_001)
    assert backlog.is_full
    backlog.seen(0)
    assert not backlog.is_full


def test_fetching_stops_beyond_the_bound_in_bytes() -> None:
    backlog = Backlog(BacklogBounds(images=2_000, bytes=100_000_000))
    backlog.seen(100)
    backlog.stored(500_000)
    assert not backlog.is_full
    for _ in range(1_000):
        backlog.stored(2_000_000)
    assert backlog.is_full


def test_a_customer_is_held_at_its_share_and_resumed_at_half_of_it() -> None:
    shares = CustomerShares(4, 100, enough=100)
    assert [shares.enters("a") for _ in range(6)] == [False, False, False, True, False, False]
    assert not shares.enters("b")
    assert [shares.leaves("a") for _ in range(6)] == [False, False, False, True, False, False]


def test_there_is_always_room_for_another_customer() -> None:
    shares = CustomerShares(1_000, 1_000, enough=100)
    for careless in map(str, range(8)):
        while not shares.enters(careless):
            pass
    assert not shares.enters("late")
    assert shares._total < 1_000


def test_a_customer_with_enough_that_is_ready_is_held_until_half_of_it_has_gone() -> None:
    shares = CustomerShares(1_000, 1_000, enough=4)
    assert [shares.enters("a", ready) for ready in (0, 0, 3, 4, 5)] == [False] * 3 + [True, False]
    assert [shares.leaves("a", ready) for ready in (4, 3, 2)] == [False, False, True]


def test_images_of_servers_that_stall_do_not_keep_a_customer_held() -> None:
    shares = CustomerShares(10, 1_000, enough=4)
    assert [shares.enters("a", ready=0) for _ in range(8)] == [False] * 8
    assert shares.enters("a", ready=4)
    assert [shares.leaves("a", ready) for ready in (3, 2)] == [False, True]


def test_a_domain_s_rate_is_for_all_hosts_below_it() -> None:
    rates = {"example.com": 1.0, "cdn.example.com": 2.0}
    assert rated_domain("a.cdn.example.com", rates) == "cdn.example.com"
    assert rated_domain("img.example.com.", rates) == "example.com"
    assert rated_domain("example.com", rates) == "example.com"
    assert rated_domain("otherexample.com", rates) is None
    assert rated_domain("example.com", {}) is None


@given(st.integers(1, 10), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=200))
def test_a_customer_without_waiting_images_is_never_held(
    share: int, moves: list[tuple[bool, int]]
) -> None:
    shares = CustomerShares(share, 1_000, enough=100)
    waiting = dict.fromkeys(range(4), 0)
    held: set[int] = set()
    for enters, customer in moves:
        if enters:
            waiting[customer] += 1
            if shares.enters(str(customer)):
                assert customer not in held
                held.add(customer)
        elif waiting[customer]:
            waiting[customer] -= 1
            if shares.leaves(str(customer)):
                held.remove(customer)
        assert all((waiting[one] >= share) <= (one in held) for one in waiting)
        assert all(waiting[one] > share // 2 or share == 1 for one in held)
        assert all(waiting[one] for one in held)
