"""How many waiting images a customer may have before the others are served first."""

from __future__ import annotations

from collections import Counter


class CustomerShares:
    """Counts the waiting images of each customer, and says who is to be held or resumed.

    A customer is held at its share and resumed at half of it, so that it does not flutter.
    """

    def __init__(self, share: int) -> None:
        self._share = share
        self._waiting: Counter[str] = Counter()
        self._held: set[str] = set()

    def enters(self, customer: str) -> bool:
        """One more image waits. True if its customer is to be held from now on."""
        self._waiting[customer] += 1
        if self._waiting[customer] < self._share or customer in self._held:
            return False
        self._held.add(customer)
        return True

    def leaves(self, customer: str) -> bool:
        """One image waits no more. True if its customer is to be resumed."""
        self._waiting[customer] -= 1
        if self._waiting[customer] == 0:
            del self._waiting[customer]
        if customer not in self._held or self._waiting[customer] > self._share // 2:
            return False
        self._held.remove(customer)
        return True
