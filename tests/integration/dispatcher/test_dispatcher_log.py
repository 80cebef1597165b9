"""The log `calls` on the real broker: the fence, and the restoration to the very end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from tests.integration.dispatcher.conftest import SESSION_SECONDS
from tests.unit.dispatcher.conftest import lane

from imagelane.contracts.codec import encode
from imagelane.contracts.events import LaneRecorded
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.log import CallLog, TransactionAbortedError, Write, log_key
from imagelane.dispatcher.membership import Membership
from imagelane.dispatcher.ownership import Ownership
from imagelane.dispatcher.restoring import UnreadableLogError, restore
from imagelane.platform.groups import configure_group
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PLANNED, ACTIVE = lane("planned"), lane("active")


class Member:
    """A worker without a loop: its membership and its log."""

    def __init__(self, kafka: KafkaSettings, name: str) -> None:
        self.ownership = Ownership(SESSION_SECONDS)
        self.left: set[int] = set()
        self.membership = Membership(
            kafka, self.ownership, doubt=lambda: "", leaving=self.left.update
        )
        self.log = CallLog(kafka, worker_name=name)
        self.log.open()
        self.membership.join()

    def poll_until_owner_of(self, count: int) -> bytes:
        deadline = time.monotonic() + 30
        while len(self.ownership.terms) != count:
            assert time.monotonic() < deadline
            self.membership.poll(0.1)
        return self.membership.poll(0.0).group_metadata

    def write(self, record: LaneRecorded, partition: int, metadata: bytes) -> list[TopicPartition]:
        offsets = self.membership.offsets_after([], [partition])
        self.log.write([Write.of_event(record, partition)], offsets, metadata)
        return offsets


@pytest.fixture
def member(kafka: KafkaSettings) -> Iterator[Member]:
    configure_group(kafka, "dispatcher")
    one = Member(kafka, "one")
    yield one
    one.membership.leave()


@pytest.fixture
def producer(kafka: KafkaSettings) -> Iterator[Producer]:
    made = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": kafka.topic_prefix}
    )
    made.init_transactions(30)
    yield made
    made.close()


def produce(producer: Producer, kafka: KafkaSettings, record: LaneRecorded, at: int) -> None:
    topic = kafka.topic("calls")
    producer.produce(topic, key=log_key(record), value=encode(record), partition=at)
    producer.flush(10)


def restored(kafka: KafkaSettings) -> dict[int, Book]:
    return restore(kafka, range(kafka.strict_partitions), lambda: True)


def test_an_empty_log_gives_empty_books(kafka: KafkaSettings) -> None:
    assert restored(kafka) == {at: Book() for at in range(4)}


def test_what_a_member_writes_is_restored(kafka: KafkaSettings, member: Member) -> None:
    metadata = member.poll_until_owner_of(4)
    member.write(PLANNED, 2, metadata)
    member.write(ACTIVE, 2, metadata)
    assert restored(kafka) == {
        at: Book(lanes={"acme": ACTIVE}) if at == 2 else Book() for at in range(4)
    }


async def test_the_restoration_waits_for_an_open_transaction(
    kafka: KafkaSettings, producer: Producer
) -> None:
    """The last stable offset is not the end: the plan that lies beyond it would be missed."""
    producer.begin_transaction()
    produce(producer, kafka, PLANNED, at=1)
    # It asks whether it is still wanted before each look at the log, whose end it knows by then:
    # a commit before that would hide a wrong end.
    looks: list[None] = []
    looked_often, loop = asyncio.Event(), asyncio.get_running_loop()

    def still_wanted() -> bool:
        looks.append(None)
        if len(looks) == 10:
            loop.call_soon_threadsafe(looked_often.set)
        return True

    reading = asyncio.create_task(asyncio.to_thread(restore, kafka, [1], still_wanted))
    waiting = asyncio.create_task(looked_often.wait())
    await asyncio.wait([reading, waiting], timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert waiting.done()
    assert not reading.done()
    await asyncio.to_thread(producer.commit_transaction, 10)
    async with asyncio.timeout(20):
        assert (await reading)[1].lanes == {"acme": PLANNED}


def test_what_was_aborted_or_deleted_is_not_restored(
    kafka: KafkaSettings, producer: Producer
) -> None:
    for record, at in ((PLANNED, 0), (PLANNED, 1)):
        producer.begin_transaction()
        produce(producer, kafka, record, at=at)
        producer.commit_transaction(10)
    producer.begin_transaction()
    produce(producer, kafka, ACTIVE, at=0)
    producer.abort_transaction(10)
    producer.begin_transaction()
    producer.produce(kafka.topic("calls"), key=log_key(PLANNED), value=None, partition=1)
    producer.commit_transaction(10)
    books = restored(kafka)
    assert books[0].lanes == {"acme": PLANNED}
    assert books[1].lanes == {}


def test_a_restoration_that_nobody_wants_any_more_ends(
    kafka: KafkaSettings, producer: Producer
) -> None:
    producer.begin_transaction()
    produce(producer, kafka, PLANNED, at=1)
    assert restore(kafka, range(4), lambda: False) == {}
    producer.abort_transaction(10)


def test_a_record_that_this_version_does_not_understand_is_named(
    kafka: KafkaSettings, producer: Producer
) -> None:
    producer.begin_transaction()
    producer.produce(kafka.topic("calls"), key=b"lane|acme", value=b"{}", partition=1)
    producer.commit_transaction(10)
    with pytest.raises(UnreadableLogError, match=r"lane\|acme"):
        restored(kafka)


def test_who_is_no_member_cannot_write(kafka: KafkaSettings, member: Member) -> None:
    """The fence: neither blank metadata nor that of a membership which is over gets a record in."""
    with pytest.raises(TransactionAbortedError, match="taken this worker in"):
        member.write(PLANNED, 2, b"")
    metadata = member.poll_until_owner_of(4)
    offsets = member.membership.offsets_after([], [2])
    member.membership.leave()
    with pytest.raises(TransactionAbortedError):
        member.log.write([Write.of_event(PLANNED, 2)], offsets, metadata)
    assert restored(kafka)[2] == Book()


def test_partitions_that_leave_are_announced_and_their_offsets_forgotten(
    kafka: KafkaSettings, member: Member
) -> None:
    member.poll_until_owner_of(4)
    other = Member(kafka, "two")
    deadline = time.monotonic() + 30
    while len(member.ownership.terms) != 2 or len(other.ownership.terms) != 2:
        assert time.monotonic() < deadline
        member.membership.poll(0.05)
        other.membership.poll(0.05)
    assert member.left == set(other.ownership.terms)
    assert not member.membership.offsets_after([], member.left)
    other.membership.leave()
    assert other.ownership.terms == {}
