"""The dispatcher's two clients of Kafka, its group membership and its log, on the model's broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import TopicPartition
from tests.model.broker import Broker, Place, ProducerFencedError, Transaction
from tests.model.clock import Clock

from imagelane.dispatcher.log import TransactionAbortedError, Write
from imagelane.dispatcher.membership import INPUTS, Polled
from imagelane.dispatcher.ownership import Ownership
from imagelane.platform.records import Record

POINTS: Final = ("polled", "produced", "offsets_sent", "committed")
"""Where a worker can be paused or killed in a turn that writes."""


class KilledError(BaseException):
    """The process ends here."""


@dataclass
class Interruption:
    """What happens to the process at one of the points. A pause lasts until `proceed`."""

    point: str = ""
    kills: bool = False
    aborts: bool = False
    produces_late: bool = False
    stops_all: bool = True
    """Whether the whole process stands still, or only its Kafka thread."""


class ModelMembership:
    """What the product's `Membership` does, on the model's group."""

    def __init__(
        self,
        broker: Broker,
        ownership: Ownership,
        clock: Clock,
        name: str,
        leaving: Callable[[frozenset[int]], None],
    ) -> None:
        self._broker, self._ownership, self._clock = broker, ownership, clock
        self._name, self._leaving = name, leaving
        self._term = 0
        self._next: dict[Place, int] = {}
        self._position: dict[Place, int] = {}
        self._readable: set[int] = set()
        self.member = ""
        self.heard_at = clock.seconds
        self.is_cut_off = False
        self.many = 1
        self.first_topic = 0

    def join(self) -> None:
        self.member = self._broker.group.join(self._name)
        self.heard_at = self._clock.seconds

    def leave(self) -> None:
        self._broker.group.leave(self.member)

    def poll(self, _wait_seconds: float) -> Polled:
        if not self.is_cut_off:
            self.heard_at = self._clock.seconds
            self._rebalance()
        records = [] if self.is_cut_off else self._fetch()
        self._ownership.polled_at = self._clock.seconds
        return Polled(records, self._broker.group.metadata(self.member))

    def read_only(self, partitions: AbstractSet[int]) -> None:
        self._readable = set() if self._ownership.hold_reason else set(partitions)

    def offsets_after(self, records: Iterable[Record], partitions: Iterable[int]) -> Any:
        wanted = set(partitions)
        after = {place: at for place, at in self._next.items() if place[1] in wanted}
        for record in records:
            place = record.topic, record.partition
            after[place] = max(after[place], record.offset + 1)
        return [TopicPartition(topic, at, offset) for (topic, at), offset in after.items()]

    def advance(self, offsets: Iterable[TopicPartition]) -> None:
        self._next.update({(one.topic, one.partition): one.offset for one in offsets})

    def step_back(self, records: Iterable[Record]) -> None:
        for record in records:
            place = record.topic, record.partition
            if place in self._next:
                self._position[place] = self._next[place]

    def _rebalance(self) -> None:
        group = self._broker.group
        if self.member not in group.epochs:
            self._forget(set(self._ownership.terms))
            self.join()
        left = {at for at in self._ownership.terms if group.wanted[at] != self.member}
        if left:
            self._forget(left)
            for at in left:
                group.owners[at] = None
        for at, member in group.wanted.items():
            if member == self.member and group.owners[at] in (None, member):
                self._arrive(at)

    def _arrive(self, partition: int) -> None:
        if partition in self._ownership.terms or self._broker.is_pending(partition):
            return  # ours already, or the committed offsets are waited for
        self._broker.group.owners[partition] = self.member
        for topic in INPUTS:
            place = topic, partition
            self._next[place] = self._broker.group.committed.get(place, 0)
            self._position[place] = self._next[place]
        self._term += 1
        self._ownership.terms = {**self._ownership.terms, partition: self._term}

    def _forget(self, partitions: set[int]) -> None:
        terms = self._ownership.terms
        self._ownership.terms = {at: term for at, term in terms.items() if at not in partitions}
        for place in [place for place in self._next if place[1] in partitions]:
            del self._next[place], self._position[place]
        self._leaving(frozenset(partitions))

    def _fetch(self) -> list[Record]:
        records: list[Record] = []
        topics = INPUTS[self.first_topic % len(INPUTS) :] + INPUTS
        for place in [(topic, at) for topic in dict.fromkeys(topics) for at in self._readable]:
            if place not in self._position:
                continue
            start = self._position[place]
            for offset, one in enumerate(self._broker.logs[place][start : start + self.many]):
                records.append(Record(*place, start + offset, one.key, one.value, [], 0))
            self._position[place] = min(start + self.many, len(self._broker.logs[place]))
        return records


class ModelLog:
    """What the product's `CallLog` does, on the model's transactions."""

    def __init__(self, broker: Broker, name: str, reached: Callable[[str], None]) -> None:
        self._broker, self._name, self._reached = broker, name, reached
        self._epoch = 0
        self.interruption = Interruption()

    def open(self) -> None:
        self._epoch = self._broker.shut_out(self._name)

    def write(self, writes: Iterable[Write], offsets: Iterable[Any], metadata: bytes) -> None:
        self._reached("polled")
        if self.interruption.aborts:
            raise TransactionAbortedError("in the model")
        places = {(str(one.topic), int(one.partition)): int(one.offset) for one in offsets}
        try:
            transaction = self._broker.begin(self._name, self._epoch, writes)
            transaction.produced = not self.interruption.produces_late
            self._reached("produced")
            self._finish(transaction, places, metadata)
        except ProducerFencedError as error:
            raise KilledError from error

    def _finish(self, transaction: Transaction, places: dict[Place, int], metadata: bytes) -> None:
        if not self._broker.send_offsets(transaction, places, metadata):
            self._broker.abort(transaction)
            raise TransactionAbortedError("not a member of this generation")
        self._reached("offsets_sent")
        self._broker.commit(transaction)
        self._reached("committed")
