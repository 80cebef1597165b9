"""Kafka as far as the promises need it: partitions, transactions, and a group whose membership is the fence.

Faithful where it hurts. A transaction's offsets are checked against the member's epoch when they are
sent, not when it commits, and not against who owns the partition. What is committed late counts all
the same. A new owner is given a partition only when no offset of it is pending.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.model.promises import broken

from imagelane.contracts.codec import decode, encode, key_of
from imagelane.contracts.events import Event, JobRecorded, LaneRecorded
from imagelane.contracts.topics import CALLS, TOPIC_OF
from imagelane.core.partitioning import partition_of
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.log import Write
from imagelane.dispatcher.restoring import _book

PARTITIONS: Final = 2
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """One record; its offset is where it lies."""

    key: bytes | None
    value: bytes | None


@dataclass(eq=False)
class Transaction:
    """Writes of one producer that count together, or not at all."""

    producer: str
    epoch: int
    writes: Sequence[Write]
    state: Literal["open", "committed", "aborted"] = "open"
    produced: bool = False
    pending: dict[Place, int] = field(default_factory=dict)


class ProducerFencedError(Exception):
    """The broker has ended the transaction, or another process has the producer's name."""


@dataclass
class Group:
    """The dispatchers' consumer group: who has which partition, and who is a member of which epoch."""

    owners: dict[int, str | None] = field(
        default_factory=lambda: dict.fromkeys(range(PARTITIONS), None)
    )
    wanted: dict[int, str | None] = field(
        default_factory=lambda: dict.fromkeys(range(PARTITIONS), None)
    )
    epochs: dict[str, int] = field(default_factory=dict)
    committed: dict[Place, int] = field(default_factory=dict)
    joins: int = 0

    def join(self, name: str) -> str:
        """A member's id is given once."""
        self.joins += 1
        member = f"{name}#{self.joins}"
        self.epochs[member] = 1
        return member

    def leave(self, member: str) -> None:
        """The member is gone, by its own will or because nothing was heard of it."""
        self.epochs.pop(member, None)
        for partition, owner in self.owners.items():
            if owner == member:
                self.owners[partition] = None
            if self.wanted[partition] == member:
                self.wanted[partition] = None

    def want(self, partition: int, member: str) -> None:
        """The coordinator means to give a partition to a member, once its owner has let it go."""
        self.wanted[partition] = member
        for one in self.epochs:
            self.epochs[one] += 1

    def accepts(self, metadata: bytes) -> bool:
        """Whether this is a member of the present epoch."""
        member, _, epoch = metadata.decode().partition("|")
        return self.epochs.get(member) == int(epoch)

    def metadata(self, member: str) -> bytes:
        return f"{member}|{self.epochs.get(member, 0)}".encode()


class Broker:
    """Everything that is durable. `history` is the log `calls` as it was committed."""

    def __init__(self) -> None:
        self.logs: defaultdict[Place, list[Stored]] = defaultdict(list)
        self.group = Group()
        self.open_transactions: list[Transaction] = []
        self.producer_epochs: Counter[str] = Counter()
        self.calls: dict[int, dict[bytes, bytes]] = {at: {} for at in range(PARTITIONS)}
        """The log as compaction leaves it."""
        self._known_books: dict[int, Book] = {}
        self.history: list[LaneRecorded | JobRecorded] = []
        self.tables: dict[int, dict[bytes, bytes]] = {at: {} for at in range(PARTITIONS)}
        self.openings = 0
        """How often a batcher's gate has opened: every one of its writers has a name of its own."""
        self.is_fenced = True
        self.waits_for_open_transactions = True

    # Plain records

    def send(self, event: Event, partition: int | None = None) -> None:
        key = key_of(event)
        at = partition_of(key, PARTITIONS) if partition is None else partition
        self.append(TOPIC_OF[type(event)], at, key, encode(event))

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        self.logs[topic, partition].append(Stored(key, value))

    def spoil(self, place: Place, offset: int) -> None:
        """A record can be read no more: it was skipped by hand, or broken by somebody."""
        self.logs[place][offset] = Stored(self.logs[place][offset].key, b"{")

    # Transactions

    def begin(self, producer: str, epoch: int, writes: Iterable[Write]) -> Transaction:
        """Raises `ProducerFencedError`, as do the following, when a newer process has the name."""
        if epoch != self.producer_epochs[producer]:
            raise ProducerFencedError
        transaction = Transaction(producer, epoch, list(writes))
        self.open_transactions.append(transaction)
        return transaction

    def send_offsets(
        self, transaction: Transaction, offsets: dict[Place, int], metadata: bytes
    ) -> bool:
        """Whether the group takes these offsets from this member: the fence."""
        if transaction.state != "open":
            raise ProducerFencedError
        if not self.group.accepts(metadata) and self.is_fenced:
            return False
        member = metadata.decode().partition("|")[0]
        for write in transaction.writes:
            if write.topic == CALLS and self.group.owners[write.partition] != member:
                broken("the log is written by its owner only", f"{member}: {write.key!r}")
        transaction.pending = offsets
        return True

    def commit(self, transaction: Transaction) -> None:
        if transaction.state != "open":
            raise ProducerFencedError
        self._end(transaction, "committed")
        self.group.committed.update(transaction.pending)
        for write in transaction.writes:
            if write.topic == CALLS:
                self._record(write)
            else:
                self.append(write.topic, max(write.partition, 0), write.key, write.value)

    def abort(self, transaction: Transaction) -> None:
        if transaction.state == "open":
            self._end(transaction, "aborted")

    def shut_out(self, producer: str) -> int:
        """A new process has the producer's name: what the old one has left open is aborted."""
        self.producer_epochs[producer] += 1
        for one in [one for one in self.open_transactions if one.producer == producer]:
            self.abort(one)
        return self.producer_epochs[producer]

    def book(self, partition: int) -> Book:
        """What a worker reads that restores the partition now."""
        return _book(dict(self.calls[partition]))

    def known_book(self, partition: int) -> Book:
        """The same to look at only: it is built when the log has changed."""
        if partition not in self._known_books:
            self._known_books[partition] = self.book(partition)
        return self._known_books[partition]

    def is_pending(self, partition: int) -> bool:
        """Whether an offset of the partition is in an open transaction: who asks for it waits."""
        return self.waits_for_open_transactions and any(
            place[1] == partition for one in self.open_transactions for place in one.pending
        )

    def is_unstable(self, partition: int) -> bool:
        """Whether the log of the partition has records whose transaction is open."""
        return self.waits_for_open_transactions and any(
            one.produced and any(write.partition == partition for write in one.writes)
            for one in self.open_transactions
        )

    def _end(self, transaction: Transaction, state: Literal["committed", "aborted"]) -> None:
        transaction.state = state
        self.open_transactions.remove(transaction)

    def _record(self, write: Write) -> None:
        key = write.key or b""
        self._known_books.pop(write.partition, None)
        if write.value is None:
            self.calls[write.partition].pop(key, None)
        else:
            self.calls[write.partition][key] = write.value
            self.history.append(decode(CALLS, write.value))
