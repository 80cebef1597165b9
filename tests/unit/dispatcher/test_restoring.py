"""The log is read to the end that it had when the partition came, and folded as compaction would have it."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from msgspec.structs import replace as with_fields
from tests.unit.dispatcher.conftest import ACME, lane

from imagelane.dispatcher import restoring
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.log import Write
from imagelane.dispatcher.restoring import FIRST, UnreadableLogError, restore
from imagelane.platform.settings import KafkaSettings

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1", strict_partitions=4)
IDLE, PLANNED = lane("idle"), lane("planned")
KEY = Write.of_event(IDLE, 0).key


@dataclass(frozen=True)
class Record:
    """A record of the log, as the client delivers it."""

    at: int
    write: Write

    def partition(self) -> int:
        return self.write.partition

    def key(self) -> bytes | None:
        return self.write.key

    def value(self) -> bytes | None:
        return self.write.value

    def error(self) -> None:
        return None


@dataclass
class Log:
    """Stands for broker, admin client and consumer; each record lies where its number says. `end` is the watermark."""

    records: dict[int, list[Write]]
    ends: dict[int, int]
    starts: dict[int, int] = field(default_factory=dict)
    refusals: int = 0
    given: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    reads: int = 0

    # The admin client

    def list_offsets(
        self, asked: dict[TopicPartition, Any], **_how: object
    ) -> dict[TopicPartition, Future[Any]]:
        answers = {}
        for one, spec in asked.items():
            answers[one] = Future[Any]()
            if self.refusals:
                self.refusals -= 1
                answers[one].set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
                continue
            at = self.starts.get(one.partition, 0) if spec is FIRST else self.ends[one.partition]
            answers[one].set_result(SimpleNamespace(offset=at))
        return answers

    # The consumer: one record at a time

    def assign(self, places: list[TopicPartition]) -> None:
        self.given.update({one.partition: one.offset for one in places})

    def consume(self, _many: int, _seconds: float) -> list[Record]:
        self.reads += 1
        for partition, at in self.given.items():
            if at < len(self.records[partition]):
                self.given[partition] += 1
                return [Record(at, self.records[partition][at])]
        return []

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(one.topic, one.partition, self.given[one.partition]) for one in places
        ]

    def close(self) -> None: ...


def log_of(monkeypatch: pytest.MonkeyPatch, *writes: Write, **changes: Any) -> Log:
    log = replace(Log({0: [*writes]}, {0: len(writes)}), **changes)
    monkeypatch.setattr(restoring, "AdminClient", lambda _properties: log)
    monkeypatch.setattr(restoring, "reader", lambda _settings: log)
    monkeypatch.setattr(restoring, "readable", lambda messages: messages)
    monkeypatch.setattr(restoring, "AGAIN_SECONDS", 0.0)
    return log


def of(state: Any) -> Write:
    return Write.of_event(state, 0)


def always() -> bool:
    return True


def test_the_last_record_of_a_lane_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    other = with_fields(IDLE, customer_id="other")
    log_of(monkeypatch, of(IDLE), of(other), of(PLANNED))
    books = restore(KAFKA, [0], always)
    assert books == {0: Book(lanes={ACME: PLANNED, "other": other})}


def test_what_was_removed_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(monkeypatch, of(IDLE), replace(of(IDLE), value=None))
    assert restore(KAFKA, [0], always) == {0: Book()}


def test_it_is_read_to_the_end_and_waits_for_what_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = log_of(monkeypatch, of(IDLE), ends={0: 2})

    def wanted() -> bool:
        if log.reads == 3:  # the transaction that was open is committed now
            log.records[0].append(of(PLANNED))
        return True

    assert restore(KAFKA, [0], wanted) == {0: Book(lanes={ACME: PLANNED})}


def test_where_nobody_wants_it_any_more_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(monkeypatch, of(IDLE), ends={0: 2})
    assert restore(KAFKA, [0], lambda: log.reads < 3) == {}


def test_an_empty_partition_is_an_empty_book(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(monkeypatch, starts={0: 7}, ends={0: 7})
    assert restore(KAFKA, [0], always) == {0: Book()}
    assert log.reads == 0


def test_after_a_refusal_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(monkeypatch, of(IDLE), refusals=2)
    assert restore(KAFKA, [0], always) == {0: Book(lanes={ACME: IDLE})}
    log_of(monkeypatch, of(IDLE), refusals=2)
    assert restore(KAFKA, [0], lambda: False) == {}
    log_of(monkeypatch, of(IDLE), refusals=1_000)
    with pytest.raises(KafkaException):
        restore(KAFKA, [0], always)


def test_a_record_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    log_of(monkeypatch, replace(of(IDLE), value=b'{"type": "of.tomorrow.v9"}'))
    assert KEY is not None
    with pytest.raises(UnreadableLogError, match=KEY.decode().replace("|", r"\|")):
        restore(KAFKA, [0], always)
