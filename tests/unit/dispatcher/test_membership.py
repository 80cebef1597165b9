"""Partitions come, go and come back: what is read of them, and what is not, whatever the client delivers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from imagelane.dispatcher import membership
from imagelane.dispatcher.membership import INPUTS, Membership
from imagelane.dispatcher.ownership import Ownership
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1", strict_partitions=4)
EARLIEST, LATEST = 3, 90
COMMITTED = 40


@dataclass(frozen=True)
class Message:
    """A record as the client delivers it, or an error in a record's place."""

    place: tuple[str, int]
    at: int = 0
    trouble: KafkaError | None = None

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes:
        return b"acme"

    def value(self) -> bytes:
        return b"{}"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def error(self) -> KafkaError | None:
        return self.trouble


@dataclass
class Client:
    """Stands for librdkafka's consumer: callbacks run inside of `poll`, before what it returns."""

    messages: deque[Message] = field(default_factory=deque)
    happening: deque[Callable[[], None]] = field(default_factory=deque)
    between: deque[Callable[[], None]] = field(default_factory=deque)
    """What happens between `poll` and `consume`."""
    committed_at: int = COMMITTED
    paused: set[tuple[str, int]] = field(default_factory=set)
    sought: list[tuple[str, int, int]] = field(default_factory=list)
    callbacks: dict[str, Any] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)

    def subscribe(self, _topics: list[str], **callbacks: Any) -> None:
        self.callbacks = callbacks

    def poll(self, seconds: float) -> Message | None:
        self.waited.append(seconds)
        while self.happening:
            self.happening.popleft()()
        return self.messages.popleft() if self.messages else None

    def consume(self, _many: int, _seconds: float) -> list[Message]:
        while self.between:
            self.between.popleft()()
        messages = [*self.messages]
        self.messages.clear()
        return messages

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        return [TopicPartition(one.topic, one.partition, self.committed_at) for one in places]

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        return EARLIEST, LATEST

    def incremental_assign(self, _places: list[TopicPartition]) -> None: ...

    def incremental_unassign(self, _places: list[TopicPartition]) -> None: ...

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused |= {(one.topic, one.partition) for one in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.paused -= {(one.topic, one.partition) for one in places}

    def seek(self, *places: TopicPartition) -> None:
        self.sought += [(one.topic, one.partition, one.offset) for one in places]

    def consumer_group_metadata(self) -> bytes:
        return b"metadata"

    # What the group does

    def assign_to(self, *partitions: int) -> None:
        self.happening.append(lambda: self.callbacks["on_assign"](self, places_of(*partitions)))

    def lose(self, *partitions: int) -> None:
        self.happening.append(lambda: self.callbacks["on_lost"](self, places_of(*partitions)))

    def revoke(self, *partitions: int) -> None:
        self.happening.append(lambda: self.callbacks["on_revoke"](self, places_of(*partitions)))


@dataclass
class Member:
    """A membership, and what it is told and does."""

    client: Client
    ownership: Ownership
    membership: Membership
    doubts: list[str]
    left: list[frozenset[int]]
    meanwhile: list[object]

    def polled(self) -> list[Record]:
        return self.membership.poll(0.0).records


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Member:
    client = Client()
    monkeypatch.setattr(membership, "Consumer", lambda _properties: client)
    doubts, left, meanwhile = [""], list[frozenset[int]](), list[object]()
    ownership = Ownership(session_seconds=6.0)
    made = Membership(
        KAFKA,
        ownership,
        doubt=lambda: doubts[-1],
        leaving=left.append,
        meanwhile=meanwhile,
    )
    made.join()
    return Member(client, ownership, made, doubts, left, meanwhile)


def places_of(*partitions: int) -> list[TopicPartition]:
    return [TopicPartition(KAFKA.topic(topic), at) for topic in INPUTS for at in partitions]


def batches(partition: int, offset: int = COMMITTED) -> Message:
    return Message((KAFKA.topic("batches"), partition), offset)


def test_what_comes_stands_still_until_its_log_is_read(member: Member) -> None:
    member.client.assign_to(1, 2)
    member.polled()
    assert member.ownership.terms == {1: 1, 2: 1}
    assert len(member.client.paused) == 2 * len(INPUTS)
    member.membership.read_only({2})
    assert {at for _, at in member.client.paused} == {1}


@pytest.mark.parametrize("how", ["lose", "revoke"])
def test_what_has_left_is_nobodys_business_any_more(member: Member, how: str) -> None:
    member.client.assign_to(1, 2)
    member.polled()
    getattr(member.client, how)(1)
    member.client.messages += [batches(1), batches(2)]
    assert [record.partition for record in member.polled()] == [2]
    assert member.ownership.terms == {2: 1}
    assert member.left == [frozenset({1})]
    assert {at for _, at in member.membership.positions} == {2}


def test_what_has_left_and_come_back_is_of_another_term(member: Member) -> None:
    member.client.assign_to(1, 2)
    member.polled()
    member.client.lose(1)
    member.client.assign_to(1)
    member.polled()
    assert member.ownership.terms == {2: 1, 1: 2}


def test_records_of_an_earlier_term_of_the_same_poll_are_left_to_the_next_reading(
    member: Member,
) -> None:
    member.client.assign_to(1, 2)
    member.polled()
    member.client.messages.append(batches(1, COMMITTED))

    def away_and_back() -> None:
        member.client.callbacks["on_lost"](member.client, places_of(1))
        member.client.callbacks["on_assign"](member.client, places_of(1))

    member.client.between.append(away_and_back)
    assert member.polled() == []


@pytest.mark.parametrize(
    ("committed", "begins"), [(COMMITTED, COMMITTED), (OFFSET_INVALID, EARLIEST)]
)
def test_reading_begins_where_it_ended_or_at_the_beginning(
    member: Member, committed: int, begins: int
) -> None:
    member.client.committed_at = committed
    member.client.assign_to(1)
    member.polled()
    assert set(member.membership.positions.values()) == {begins}


def test_a_transaction_commits_what_was_read_and_no_more(member: Member) -> None:
    member.client.assign_to(1, 2)
    member.polled()
    member.client.messages += [batches(1, COMMITTED), batches(1, COMMITTED + 1)]
    records = member.polled()
    offsets = member.membership.offsets_after(records, {1})
    told = {(one.topic, one.partition): one.offset for one in offsets}
    assert told.pop((KAFKA.topic("batches"), 1)) == COMMITTED + 2
    assert set(told.values()) == {COMMITTED}
    assert {at for _, at in told} == {1}
    assert set(member.membership.positions.values()) == {COMMITTED}, "it is not durable yet"
    member.membership.advance(offsets)
    assert member.membership.positions["batches", 1] == COMMITTED + 2


def test_after_an_abort_the_same_records_are_read_again(member: Member) -> None:
    member.client.assign_to(1, 2)
    member.polled()
    member.client.messages += [batches(1, COMMITTED), batches(1, COMMITTED + 1)]
    records = member.polled()
    member.membership.step_back(records)
    assert member.client.sought == [(KAFKA.topic("batches"), 1, COMMITTED)]
    member.client.lose(1)
    member.polled()
    member.membership.step_back(records)
    assert len(member.client.sought) == 1


def test_in_doubt_nothing_is_read_until_the_doubt_is_gone(member: Member) -> None:
    member.client.assign_to(1)
    member.polled()
    member.doubts.append("batches has 16 partitions")
    member.polled()
    assert member.ownership.hold_reason == "batches has 16 partitions"
    member.membership.read_only({1})
    assert len(member.client.paused) == len(INPUTS)
    member.doubts.append("")
    member.polled()
    assert not member.ownership.hold_reason
    member.membership.read_only({1})
    assert not member.client.paused


def test_a_gap_in_the_input_holds_all_lanes_for_good(member: Member) -> None:
    member.client.assign_to(1)
    member.polled()
    gap = KafkaError(KafkaError._AUTO_OFFSET_RESET, "no such offset")
    member.client.messages.append(Message((KAFKA.topic("batches"), 1), trouble=gap))
    assert member.polled() == []
    assert "records of an input are missing" in member.ownership.hold_reason
    member.polled()
    assert "records of an input are missing" in member.ownership.hold_reason


def test_what_the_client_cannot_get_over_ends_the_worker(member: Member) -> None:
    member.client.assign_to(1)
    member.polled()
    fenced = KafkaError(KafkaError._FENCED, "another member has this name")
    member.client.messages.append(Message((KAFKA.topic("batches"), 1), trouble=fenced))
    with pytest.raises(KafkaException, match="another member"):
        member.polled()


def test_only_a_poll_confirms_the_membership(member: Member) -> None:
    before = member.ownership.polled_at
    member.membership.read_only(set())
    assert member.ownership.polled_at == before
    member.polled()
    assert member.ownership.polled_at > before


def test_input_is_waited_for_in_slices_and_no_longer_than_asked(member: Member) -> None:
    member.membership.poll(0.1)
    assert max(member.client.waited) <= membership.SLICE_SECONDS
    assert sum(member.client.waited) == pytest.approx(0.1)


def test_what_happens_meanwhile_ends_the_waiting_for_input(member: Member) -> None:
    member.client.happening.append(lambda: member.meanwhile.append("an answer"))
    member.membership.poll(0.1)
    assert member.client.waited == [membership.SLICE_SECONDS, 0.0]
