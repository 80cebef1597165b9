"""Which notice is posted next: when it is due, one bounded lane per host, customers in turn within each."""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from itertools import count

from imagelane.contracts.notices import NoticeRecorded
from imagelane.core.fairness import FairQueue


@dataclass(slots=True, eq=False)
class Waiting:
    """A pending notice. `host` is its lane, `due_at` in seconds of the wall clock."""

    key: bytes
    notice: NoticeRecorded
    partition: int
    host: str
    due_at: float
    dropped: bool = False
    """Nobody needs to post it any more; it leaves the queues when its turn comes."""


@dataclass(slots=True)
class _Lane:
    line: FairQueue[Waiting] = field(default_factory=FairQueue)
    busy: int = 0
    has_turn: bool = False


class Lanes:
    """Pending notices, one per key.

    At most `total` are posted at a time, at most `per_host` of them to one host. Hosts take turns,
    and so do the customers of one host, so nobody waits behind a dead endpoint but who shares its host;
    and of those, nobody waits for more than its turn.
    """

    def __init__(self, *, total: int, per_host: int, per_customer: int) -> None:
        self._total = total
        self._per_host = per_host
        self._per_customer = per_customer
        self._pending: dict[bytes, Waiting] = {}
        self._of_customer: dict[str, int] = {}
        self._due: list[tuple[float, int, Waiting]] = []
        self._numbers = count()
        self._lanes: dict[str, _Lane] = {}
        self._turns: deque[str] = deque()
        self._busy = 0

    def __len__(self) -> int:
        return len(self._pending)

    def find(self, key: bytes) -> Waiting | None:
        """The pending notice of this key."""
        return self._pending.get(key)

    def put(self, waiting: Waiting) -> bool:
        """Takes the place of another of its key. False for one too many of its customer, which is left out."""
        customer = waiting.notice.customer_id
        self.drop(waiting.key)
        held = self._of_customer.get(customer, 0)
        if held >= self._per_customer:
            return False
        self._of_customer[customer] = held + 1
        self._pending[waiting.key] = waiting
        heapq.heappush(self._due, (waiting.due_at, next(self._numbers), waiting))
        return True

    def drop(self, key: bytes) -> None:
        """It is not pending any more, if it was."""
        waiting = self._pending.pop(key, None)
        if waiting is None:
            return
        waiting.dropped = True
        customer = waiting.notice.customer_id
        self._of_customer[customer] -= 1
        if not self._of_customer[customer]:
            del self._of_customer[customer]

    def drop_partition(self, partition: int) -> None:
        """They are another notifier's now."""
        for key in [key for key, one in self._pending.items() if one.partition == partition]:
            self.drop(key)
        self._due = [one for one in self._due if not one[2].dropped]
        heapq.heapify(self._due)

    def start(self, now: float) -> list[Waiting]:
        """Those to be posted now. Each is to be handed back by `end`."""
        started = []
        while self._due and self._due[0][0] <= now:
            waiting = heapq.heappop(self._due)[2]
            if not waiting.dropped:
                lane = self._lanes.setdefault(waiting.host, _Lane())
                lane.line.put(waiting.notice.customer_id, waiting)
                self._give_turn(waiting.host, lane)
        while self._turns and self._busy < self._total:
            host = self._turns.popleft()
            lane = self._lanes[host]
            lane.has_turn = False
            waiting = lane.line.take()
            if not waiting.dropped:
                lane.busy += 1
                self._busy += 1
                started.append(waiting)
            self._give_turn(host, lane)
        return started

    def end(self, waiting: Waiting) -> None:
        """It was posted: its place in the lane is free."""
        self._busy -= 1
        lane = self._lanes[waiting.host]
        lane.busy -= 1
        self._give_turn(waiting.host, lane)

    def seconds_until_due(self, now: float) -> float:
        """Until something becomes due that is not so yet; infinite where nothing is waited for."""
        return max(0.0, self._due[0][0] - now) if self._due else math.inf

    def _give_turn(self, host: str, lane: _Lane) -> None:
        if not lane.line.has_turn:
            if not lane.busy:
                del self._lanes[host]
        elif lane.busy < self._per_host and not lane.has_turn:
            lane.has_turn = True
            self._turns.append(host)
