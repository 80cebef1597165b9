"""Whose turn it is: round robin over customers, first come first served within one."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items wait in one line per customer; the customers' lines take turns, one item each.

    Of n customers with items waiting, each gets every n-th `take`, however long the others' lines
    are. Putting and taking cost the same at any length, and an empty line leaves nothing behind.
    A customer on hold keeps its line, but has no turn.
    """

    __slots__ = ("_held", "_length", "_lines", "_turns")

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[T]] = {}
        self._turns: deque[Hashable] = deque()
        self._held: set[Hashable] = set()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def has_turn(self) -> bool:
        """Whether `take` has something: items of customers on hold do not count."""
        return bool(self._turns)

    @property
    def turn(self) -> Hashable:
        """Whose item `take` will give. Raises `IndexError` when nobody has a turn."""
        return self._turns[0]

    def lengths(self) -> Iterator[tuple[Hashable, int]]:
        """Everybody whose items wait, on hold or not, and how many."""
        return ((customer, len(line)) for customer, line in self._lines.items())

    def put(self, customer: Hashable, item: T) -> None:
        """Adds an item at the end of its customer's line."""
        line = self._lines.get(customer)
        if line is None:
            self._lines[customer] = deque((item,))
            if customer not in self._held:
                self._turns.append(customer)
        else:
            line.append(item)
        self._length += 1

    def put_first(self, customer: Hashable, item: T) -> None:
        """Adds an item at the beginning of its customer's line; the customers' turns stay as they are."""
        self.put(customer, item)
        self._lines[customer].rotate(1)

    def take(self) -> T:
        """The next item. Raises `IndexError` when nobody has a turn."""
        customer = self._turns.popleft()
        line = self._lines[customer]
        item = line.popleft()
        if line:
            self._turns.append(customer)
        else:
            del self._lines[customer]
        self._length -= 1
        return item

    def hold(self, customer: Hashable) -> None:
        """The customer has no turn until `resume`."""
        if customer not in self._held:
            self._held.add(customer)
            if customer in self._lines:
                self._turns.remove(customer)

    def resume(self, customer: Hashable) -> None:
        """The customer has its turns again, if it was on hold."""
        if customer in self._held:
            self._held.remove(customer)
            if customer in self._lines:
                self._turns.append(customer)
