"""One opening of one batcher's gate for one partition: the real `Lanes` and `OrderGuard` on the model's Kafka.

Nothing fences a batcher: one that has lost its partition goes on writing until it notices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final

from tests.model.broker import PARTITIONS, Broker
from tests.model.clock import Clock

from imagelane.batcher.core.decisions import Decisions, Write
from imagelane.batcher.core.lanes import LaneEvent, Lanes
from imagelane.batcher.core.order import OrderGuard, Place, Verdict
from imagelane.batcher.core.policy import Rules, first_full
from imagelane.batcher.core.records import TableFound, encode, table_key
from imagelane.contracts.codec import UnreadableRecordError, decode, key_of
from imagelane.contracts.events import Event
from imagelane.contracts.image_sets import UnreadableImageSetError
from imagelane.core.partitioning import partition_of

INPUTS: Final = ("processed", "jobs", "completed", "commands", "ticks")


def rules(*, sweep: bool) -> Rules:
    return Rules(
        ask_at=first_full,
        first_call_images=3,
        linger_seconds=5.0,
        resend_after_seconds=10.0,
        stalled_after_seconds=20.0,
        sweep=sweep,
        retention=timedelta(days=14),
        max_parts=3,
    )


@dataclass(eq=False)
class Flight:
    """Decisions on their way, and the places in the inputs that they take care of."""

    decisions: Decisions
    places: dict[Place, int]
    written: bool = False


class Batcher:
    """`is_zombie`: another one has been given the partition."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        partition: int,
        committed: dict[str, int],
        *,
        sweep: bool,
    ) -> None:
        self._broker, self._clock, self.partition = broker, clock, partition
        self.is_zombie = False
        self.flights: list[Flight] = []
        table = broker.tables[partition]
        if table_key(partition) not in table:
            committed = dict.fromkeys(INPUTS, 0)  # the table is lost, or new
            self._write([Write(table_key(partition), encode(TableFound(since=clock.at)))])
        self.committed = {Place(topic, partition): committed[topic] for topic in INPUTS}
        self.guard = OrderGuard(self.committed)
        broker.openings += 1
        self.lanes = Lanes(rules(sweep=sweep), writer=f"w{broker.openings}")
        self.lanes.restore(list(table.items()), clock.moment)

    def fold(self, topic: str, many: int, skipped: int = 0) -> None:
        """Faust delivers records: the next ones, or such as are not to come yet."""
        place = Place(topic, self.partition)
        first = max(self.guard.positions[place] + skipped, self.committed[place])
        log = self._broker.logs[topic, self.partition]
        for offset in range(first, min(first + many, len(log))):
            if self.guard.judge(place, offset, self._clock.seconds) is Verdict.NEXT:
                self._fold(topic, offset)

    def decide(self) -> None:
        if self.lanes.has_work or self._unsaved():
            decisions = self.lanes.decide(self._clock.moment)
            self.flights.append(Flight(decisions, self.guard.positions))

    def make_durable(self, steps: int) -> None:
        """The oldest decisions get one step further, so many times: their writes, then their events."""
        for _ in range(steps):
            if not self.flights:
                return
            flight = self.flights[0]
            if flight.written:
                self._send(flight.decisions.events)
                self.lanes.confirm(flight.decisions)
                self.committed = flight.places if not self.is_zombie else self.committed
                del self.flights[0]
            else:
                self._write(flight.decisions.writes)
                flight.written = True

    def tick(self) -> None:
        for event in self.lanes.ticks(self._clock.moment):
            self._broker.send(event, self.partition)

    def die(self, luck: Random) -> None:
        """SIGKILL: any part of what was not confirmed is durable."""
        for flight in self.flights:
            share = luck.choice([0.0, 0.5, 1.0])
            if flight.written:
                self._send(one for one in flight.decisions.events if luck.random() < share)
            else:
                self._write(one for one in flight.decisions.writes if luck.random() < share)

    def _unsaved(self) -> bool:
        last = self.flights[-1].places if self.flights else self.committed
        return self.guard.positions != last

    def _fold(self, topic: str, offset: int) -> None:
        record = self._broker.logs[topic, self.partition][offset]
        try:
            event: LaneEvent = decode(topic, record.value)
            if self._is_in_place(event, record.key):
                self.lanes.fold(event, self._clock.moment)
        except (UnreadableRecordError, UnreadableImageSetError):
            return  # a dead letter

    def _is_in_place(self, event: LaneEvent, key: bytes | None) -> bool:
        return key == key_of(event) and partition_of(key, PARTITIONS) == self.partition

    def _write(self, writes: Iterable[Write]) -> None:
        table = self._broker.tables[self.partition]
        for one in writes:
            if one.value is None:
                table.pop(one.key, None)
            else:
                table[one.key] = one.value

    def _send(self, events: Iterable[Event]) -> None:
        for event in events:
            self._broker.send(event, self.partition)
