from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.fairness import FairQueue


def filled(customers: str) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue()
    for customer in customers:
        queue.put(customer, customer)
    return queue


def taken(queue: FairQueue[str]) -> str:
    found = ""
    while queue.has_turn:
        found += queue.take()
    return found


def test_a_customer_on_hold_keeps_its_line_and_has_no_turn() -> None:
    queue = filled("aabb")
    queue.hold("a")
    assert taken(queue) == "bb"
    assert len(queue) == 2
    with pytest.raises(IndexError):
        queue.take()
    queue.resume("a")
    assert taken(queue) == "aa"


def test_what_comes_for_a_customer_on_hold_waits() -> None:
    queue = filled("")
    queue.hold("a")
    queue.put("a", "a")
    assert not queue.has_turn
    queue.resume("a")
    assert taken(queue) == "a"


def test_holding_twice_is_holding_once_and_resuming_twice_gives_no_second_turn() -> None:
    queue = filled("aabb")
    for _ in range(2):
        queue.hold("a")
    for _ in range(2):
        queue.resume("a")
    assert taken(queue) == "baba"


moves = st.tuples(
    st.sampled_from(("put", "put", "take", "hold", "resume")), st.sampled_from("abcd")
)


@given(st.lists(moves))
def test_nothing_is_lost_and_nobody_on_hold_is_served(steps: list[tuple[str, str]]) -> None:
    queue = filled("")
    waiting: Counter[str] = Counter()
    held: set[str] = set()
    for what, customer in steps:
        if what == "put":
            queue.put(customer, customer)
            waiting[customer] += 1
        elif what == "hold":
            queue.hold(customer)
            held.add(customer)
        elif what == "resume":
            queue.resume(customer)
            held.discard(customer)
        elif queue.has_turn:
            served = queue.take()
            assert served not in held
            waiting[served] -= 1
        assert queue.has_turn == any(waiting[one] and one not in held for one in "abcd")
    for customer in "abcd":
        queue.resume(customer)
    assert Counter(taken(queue)) == +waiting
