"""The Kafka thread's turn, and the fence: what is written when, and what an error of the client leads to."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from tests.unit.dispatcher.conftest import ACME, TERMS, lane, policy, ready, requested

from imagelane.contracts.codec import encode
from imagelane.core.partitioning import partition_of
from imagelane.dispatcher import log, owner
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.errands import Restored
from imagelane.dispatcher.failpoints import Failpoints
from imagelane.dispatcher.log import METADATA_MARK, CallLog, TransactionAbortedError, Write
from imagelane.dispatcher.membership import Polled
from imagelane.dispatcher.owner import LaneOwner
from imagelane.dispatcher.ownership import Ownership
from imagelane.dispatcher.turn import Rules
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings

PARTITIONS = 4
KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1", strict_partitions=PARTITIONS)
HOME = partition_of(ACME.encode(), PARTITIONS)
MEMBER = METADATA_MARK + (7).to_bytes(4, "little") + b"group\0member-1\0\0"


@dataclass
class Membership:
    """Gives prepared records; all partitions' inputs are at 0."""

    records: deque[list[Record]] = field(default_factory=deque)
    stepped_back: list[Record] = field(default_factory=list)
    advanced: int = 0
    read: list[set[int]] = field(default_factory=list)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)

    def poll(self, _seconds: float) -> Polled:
        return Polled(self.records.popleft() if self.records else [], MEMBER)

    def offsets_after(self, _records: list[Record], _touched: set[int]) -> list[TopicPartition]:
        return [TopicPartition("batches", HOME, 1)]

    def advance(self, _offsets: list[TopicPartition]) -> None:
        self.advanced += 1

    def step_back(self, records: list[Record]) -> None:
        self.stepped_back += records

    def read_only(self, partitions: set[int]) -> None:
        self.read.append(partitions)


@dataclass
class Log:
    """Takes transactions, or aborts the next one."""

    written: list[list[Write]] = field(default_factory=list)
    aborts: bool = False

    def write(self, writes: list[Write], _offsets: object, _metadata: bytes) -> None:
        if self.aborts:
            self.aborts = False
            raise TransactionAbortedError("fenced")
        self.written.append(list(writes))


@dataclass
class Worker:
    ownership: Ownership = field(default_factory=lambda: Ownership(6.0, terms={HOME: 1}))
    membership: Membership = field(default_factory=Membership)
    log: Log = field(default_factory=Log)
    owner: LaneOwner = field(init=False)

    def __post_init__(self) -> None:
        self.owner = LaneOwner(
            KAFKA,
            self.ownership,
            cast(Any, self.membership),
            cast(Any, self.log),
            Rules(TERMS, policy()),
            Failpoints(),
        )

    def restored(self, book: Book) -> None:
        assert self.owner.turn([]).to_restore == {HOME: 1}
        self.owner.turn([Restored({HOME: 1}, {HOME: book})])


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "ABORTED_PAUSE_SECONDS", 0.0)


def request(seq: int = 1) -> Record:
    value = encode(requested(seq, ready([1, 2])))
    return Record("batches", HOME, 0, ACME.encode(), value, [], 0)


def test_a_partition_that_left_and_came_back_in_one_poll_is_restored_anew() -> None:
    worker = Worker()
    worker.restored(Book(lanes={ACME: lane("idle")}))
    worker.ownership.terms = {HOME: 2}
    assert worker.owner.turn([]).to_restore == {HOME: 2}
    assert worker.membership.read[-1] == set()
    assert f"[{HOME}]" in worker.owner.state().held


def test_input_is_read_only_where_the_log_has_been_read() -> None:
    worker = Worker()
    worker.owner.turn([])
    assert worker.membership.read == [set()]
    worker.owner.turn([Restored({HOME: 1}, {HOME: Book()})])
    assert worker.membership.read[-1] == {HOME}


def test_what_follows_from_a_turn_follows_once_it_is_durable() -> None:
    worker = Worker()
    worker.restored(Book())
    worker.membership.records.append([request()])
    turned = worker.owner.turn([])
    (writes,) = worker.log.written
    assert [(write.topic, write.partition) for write in writes] == [("calls", HOME)]
    assert worker.membership.advanced == 1
    (errand,) = turned.errands
    assert (errand.partition, errand.term, errand.lane.state) == (HOME, 1, "planned")


def test_of_an_aborted_turn_nothing_is_left_but_what_was_to_be_dealt_with() -> None:
    worker = Worker()
    worker.restored(Book())
    worker.membership.records += [[request()], [request()]]
    worker.log.aborts = True
    turned = worker.owner.turn([])
    assert (turned.errands, turned.told) == ([], [])
    assert worker.membership.stepped_back == [request()]
    assert worker.membership.advanced == 0
    assert worker.owner.turn([]).errands, "the request was forgotten, or counted though it was not"


def test_a_turn_without_anything_writes_nothing() -> None:
    worker = Worker()
    worker.restored(Book())
    worker.owner.turn([])
    assert worker.log.written == []


@dataclass
class Client:
    """Stands for the transactional producer: remembers its calls, and fails in one of them."""

    calls: list[str] = field(default_factory=list)
    failing: dict[str, list[KafkaError]] = field(default_factory=dict)

    def _do(self, name: str) -> None:
        self.calls.append(name)
        if self.failing.get(name):
            raise KafkaException(self.failing[name].pop(0))

    def begin_transaction(self) -> None:
        self._do("begin")

    def produce(self, _topic: str, **_record: object) -> None:
        self._do("produce")

    def send_offsets_to_transaction(self, _offsets: object, metadata: bytes, _wait: float) -> None:
        assert metadata == MEMBER
        self._do("offsets")

    def commit_transaction(self, _wait: float) -> None:
        self._do("commit")

    def abort_transaction(self, _wait: float) -> None:
        self._do("abort")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(log, "Producer", lambda _properties: made)
    return made


def written(metadata: bytes = MEMBER) -> None:
    offsets = [TopicPartition("batches", HOME, 1)]
    CallLog(KAFKA, worker_name="one").write([Write.of_event(lane("idle"), HOME)], offsets, metadata)


def test_records_and_offsets_are_one_transaction(client: Client) -> None:
    written()
    assert client.calls == ["begin", "produce", "offsets", "commit"]


@pytest.mark.parametrize("metadata", [b"", METADATA_MARK + b"\xff" * 4 + b"group\0\0\0"])
def test_without_proof_of_membership_no_transaction_begins(client: Client, metadata: bytes) -> None:
    with pytest.raises(TransactionAbortedError):
        written(metadata)
    assert client.calls == []


def test_what_the_broker_does_not_take_is_aborted(client: Client) -> None:
    expelled = KafkaError(KafkaError.ILLEGAL_GENERATION, "not a member", txn_requires_abort=True)
    client.failing["offsets"] = [expelled]
    with pytest.raises(TransactionAbortedError):
        written()
    assert client.calls == ["begin", "produce", "offsets", "abort"]


def test_what_may_be_repeated_is_repeated(client: Client) -> None:
    client.failing["commit"] = [KafkaError(KafkaError._TIMED_OUT, "wait", retriable=True)] * 2
    written()
    assert client.calls == ["begin", "produce", "offsets", "commit", "commit", "commit"]


@pytest.mark.parametrize("point", ["begin", "offsets", "commit"])
def test_a_worker_that_was_shut_out_ends(client: Client, point: str) -> None:
    client.failing[point] = [KafkaError(KafkaError._FENCED, "another one has the name", fatal=True)]
    with pytest.raises(KafkaException, match="another one"):
        written()
    assert "abort" not in client.calls
