from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.fairness import FairQueue

Arrival = tuple[str, int]


def drained(queue: FairQueue[Arrival]) -> list[Arrival]:
    return [queue.take() for _ in range(len(queue))]


def filled(customers: list[str]) -> FairQueue[Arrival]:
    queue: FairQueue[Arrival] = FairQueue()
    for number, customer in enumerate(customers):
        queue.put(customer, (customer, number))
    return queue


def test_an_empty_queue_has_nothing_to_take() -> None:
    with pytest.raises(IndexError):
        FairQueue[int]().take()


def test_a_small_customer_behind_a_big_one_has_every_other_turn() -> None:
    taken = drained(filled(["big"] * 5_000 + ["small"] * 20))
    assert max(place for place, (who, _) in enumerate(taken) if who == "small") == 39


def test_an_item_may_go_to_the_beginning_of_its_customer_s_line_and_no_further() -> None:
    queue = filled(["a", "a", "b"])
    queue.put_first("a", ("a", 9))
    queue.put_first("c", ("c", 8))
    assert drained(queue) == [("a", 9), ("b", 2), ("c", 8), ("a", 0), ("a", 1)]


def test_an_emptied_line_leaves_nothing_behind() -> None:
    queue = filled([f"customer-{number}" for number in range(100)])
    drained(queue)
    assert not queue._lines
    assert not queue._turns


@given(st.lists(st.sampled_from("abcde")))
def test_everything_is_taken_once_and_in_order_within_a_customer(customers: list[str]) -> None:
    taken = drained(filled(customers))
    assert sorted(number for _, number in taken) == list(range(len(customers)))
    for customer in set(customers):
        mine = [number for who, number in taken if who == customer]
        assert mine == sorted(mine)


@given(st.lists(st.sampled_from("abcde") | st.none()))
def test_while_a_customer_waits_nobody_else_has_two_turns_more(steps: list[str | None]) -> None:
    """None takes, a letter puts: the law holds however puts and takes are mixed."""
    queue: FairQueue[str] = FairQueue()
    waiting: Counter[str] = Counter()
    turns_since: dict[str, Counter[str]] = {}
    for step in steps:
        if step is not None:
            queue.put(step, step)
            waiting[step] += 1
            turns_since.setdefault(step, Counter())
        elif queue:
            taken = queue.take()
            waiting[taken] -= 1
            turns_since[taken] = Counter()
            for customer, turns in turns_since.items():
                if customer != taken and waiting[customer]:
                    turns[taken] += 1
                    assert turns[taken] <= 1
            if not waiting[taken]:
                del turns_since[taken]
    assert len(queue) == waiting.total()


def test_a_customer_on_hold_has_no_turn_and_keeps_its_line() -> None:
    queue = filled(["held", "free", "held", "free"])
    queue.hold("held")
    assert [queue.take()[0], queue.take()[0]] == ["free", "free"]
    assert not queue.has_turn
    assert len(queue) == 2
    queue.resume("held")
    assert drained(queue) == [("held", 0), ("held", 2)]


OPERATIONS = st.tuples(st.sampled_from(["put", "take", "hold", "resume"]), st.sampled_from("abc"))


@given(st.lists(OPERATIONS))
def test_holds_lose_nothing_however_they_are_mixed(operations: list[tuple[str, str]]) -> None:
    queue: FairQueue[Arrival] = FairQueue()
    put: list[Arrival] = []
    taken: list[Arrival] = []
    held: set[str] = set()
    for number, (operation, customer) in enumerate(operations):
        match operation:
            case "put":
                put.append((customer, number))
                queue.put(customer, (customer, number))
            case "hold":
                held.add(customer)
                queue.hold(customer)
            case "resume":
                held.discard(customer)
                queue.resume(customer)
            case _ if queue.has_turn:
                taken.append(queue.take())
                assert taken[-1][0] not in held
            case _:
                assert all(who in held for who, _ in set(put) - set(taken))
    for customer in "abc":
        queue.resume(customer)
    taken += drained(queue)
    assert sorted(taken, key=lambda arrival: arrival[1]) == put
