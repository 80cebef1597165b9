from __future__ import annotations

import asyncio
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from imagelane.core.offsets import Progress, encode_progress
from imagelane.platform import lag as lag_module
from imagelane.platform.groups import client_properties
from imagelane.platform.lag import LagReader, LagUnknownError
from imagelane.platform.settings import KafkaSettings

pytestmark = pytest.mark.kafka

SERVICE = "processor"
TOPIC = "downloaded"


@pytest.fixture
def filled(kafka: KafkaSettings) -> KafkaSettings:
    """Ten records on partition 0, three on partition 2, and the group's coordinator at work."""
    producer = Producer(client_properties(kafka))
    for partition, count in ((0, 10), (2, 3)):
        for _ in range(count):
            producer.produce(kafka.topic(TOPIC), value=b"x", partition=partition)
    assert producer.flush(30) == 0
    deadline = time.monotonic() + 30
    while not coordinated(kafka):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return kafka


def coordinated(kafka: KafkaSettings) -> bool:
    """False in a new broker's first second, while it makes its topic of commits."""
    consumer = Consumer({**client_properties(kafka), "group.id": kafka.group(SERVICE)})
    try:
        consumer.committed([TopicPartition(kafka.topic(TOPIC), 0)], timeout=10)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def commit(kafka: KafkaSettings, offset: int, progress: Progress) -> None:
    consumer = Consumer({**client_properties(kafka), "group.id": kafka.group(SERVICE)})
    metadata = encode_progress(offset, progress)
    commit = TopicPartition(kafka.topic(TOPIC), 0, offset, metadata)
    consumer.commit(offsets=[commit], asynchronous=False)
    consumer.close()


def rest(kafka: KafkaSettings, known: dict[int, int]) -> dict[int, int]:
    return dict.fromkeys(range(kafka.spread_partitions), 0) | known


async def test_a_group_without_commits_has_everything_to_read(filled: KafkaSettings) -> None:
    lag = LagReader(filled)
    assert await lag.end_offsets(TOPIC) == rest(filled, {0: 10, 2: 3})
    assert await lag.committed(SERVICE, TOPIC) == {}
    assert await lag.unread(SERVICE, TOPIC) == rest(filled, {0: 10, 2: 3})


async def test_records_finished_above_the_commit_are_not_unread(filled: KafkaSettings) -> None:
    commit(filled, 2, Progress(((3, 5), (9, 10))))
    lag = LagReader(filled)
    assert await lag.committed(SERVICE, TOPIC) == {0: 2}
    assert await lag.unread(SERVICE, TOPIC) == rest(filled, {0: 5, 2: 3})


async def test_another_service_is_another_group(filled: KafkaSettings) -> None:
    commit(filled, 10, Progress())
    assert (await LagReader(filled).unread("downloader", TOPIC))[0] == 10


async def test_questions_may_be_asked_at_once(filled: KafkaSettings) -> None:
    lag = LagReader(filled)
    answers = await asyncio.gather(*(lag.unread(SERVICE, TOPIC) for _ in range(40)))
    assert all(answer == rest(filled, {0: 10, 2: 3}) for answer in answers)


async def test_a_topic_that_is_not_there_is_named(kafka: KafkaSettings) -> None:
    with pytest.raises(LagUnknownError, match="no-such"):
        await LagReader(kafka).end_offsets("no-such")


async def test_a_broker_that_does_not_answer_is_no_lag_of_zero(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag_module, "REQUEST_SECONDS", 0.5)
    away = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(LagUnknownError):
        await LagReader(away).unread(SERVICE, TOPIC)
