"""How many waiting images a customer may have before the others are served first."""

from __future__ import annotations

from collections import Counter


class CustomerShares:
    """Counts the waiting images of each customer, and says who is to be held or resumed.

    A customer is held at its share, or when it has as many images waiting as there is room left: so
    however many customers' servers stall, there is room for another one. It is also held when enough
    of its images are ready, waiting for nothing but a slot; images of servers that stall do not
    count there, so they do not hide the good ones behind them. It is resumed at half of that, so
    that it does not flutter.
    """

    def __init__(self, share: int, room: int, enough: int) -> None:
        self._share = share
        self._enough = enough
        self._room = room
        self._total = 0
        self._waiting: Counter[str] = Counter()
        self._held: dict[
            str, bool
        ] = {}  # whether for its share, rather than for enough that is ready

    def enters(self, customer: str, ready: int = 0) -> bool:
        """One more image waits; `ready` ones may start. True if the customer is to be held from now on."""
        self._total += 1
        self._waiting[customer] += 1
        is_full = self._waiting[customer] >= self._limit()
        if not (is_full or ready >= self._enough) or customer in self._held:
            return False
        self._held[customer] = is_full
        return True

    def leaves(self, customer: str, ready: int = 0) -> bool:
        """One image waits no more. True if the customer is to be resumed."""
        self._total -= 1
        self._waiting[customer] -= 1
        left = self._waiting[customer]
        if left == 0:
            del self._waiting[customer]
        if customer not in self._held or (left and self._is_much(customer, left, ready)):
            return False
        del self._held[customer]
        return True

    def _is_much(self, customer: str, left: int, ready: int) -> bool:
        if self._held[customer]:
            return left > self._limit() // 2
        return ready > self._enough // 2 or left >= self._limit()

    def _limit(self) -> int:
        return min(self._share, self._room - self._total)
