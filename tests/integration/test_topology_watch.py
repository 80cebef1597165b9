"""The comparison at start and while a service runs, on the real broker: topics that are not what they were."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    NewPartitions,
    NewTopic,
)
from tests.integration.configuring import configure_topic
from tests.waiting import eventually, wait_until

from imagelane.contracts import topics as names
from imagelane.contracts.events import JobAccepted
from imagelane.core.partitioning import partition_of
from imagelane.ops import acceptance, topics
from imagelane.platform import topology
from imagelane.platform.groups import KafkaStartError
from imagelane.platform.latest_records import read_records
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings, ServiceSettings
from imagelane.platform.topology import TopologyError, TopologyWatch

pytestmark = pytest.mark.kafka

CHANGELOG = "imagelane-batcher-lanes-changelog"
SERVICES = ("intake", "downloader", "processor", "batcher", "dispatcher", "gateway")


class Broker:
    """What an operator may do to topics."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self.admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})

    def settings(self, **changes: object) -> ServiceSettings:
        kafka = self.kafka.model_copy(
            update={name: value for name, value in changes.items() if name != "deployment_id"}
        )
        deployment_id = str(changes.get("deployment_id", "imagelane"))
        return ServiceSettings(kafka=kafka, deployment_id=deployment_id)

    def watch(self, *services: str, **changes: object) -> TopologyWatch:
        return TopologyWatch(self.settings(**changes), *services)

    def configure(self, topic: str, name: str, value: str) -> None:
        configure_topic(self.kafka, topic, {name: value})

    def grow(self, topic: str, partitions: int) -> None:
        wanted = NewPartitions(self.kafka.topic(topic), partitions)
        for answer in self.admin.create_partitions([wanted]).values():
            answer.result()

    def delete(self, topic: str) -> None:
        name = self.kafka.topic(topic)
        for answer in self.admin.delete_topics([name]).values():
            answer.result()
        wait_until(lambda: name not in self.admin.list_topics().topics)

    def create(self, topic: str, partitions: int) -> None:
        name = self.kafka.topic(topic)
        for answer in self.admin.create_topics([NewTopic(name, partitions, 1)]).values():
            answer.result()
        wait_until(lambda: name in self.admin.list_topics().topics)


@pytest.fixture
def broker_of(kafka: KafkaSettings) -> Broker:
    return Broker(kafka)


async def refusal(watch: TopologyWatch) -> str:
    with pytest.raises((TopologyError, KafkaStartError)) as refused:
        await watch.require()
    return str(refused.value)


async def test_every_service_starts_on_topics_as_they_were_made(broker_of: Broker) -> None:
    for service in SERVICES:
        await broker_of.watch(service).require()


async def test_every_service_refuses_settings_that_are_not_the_records(broker_of: Broker) -> None:
    for service in SERVICES:
        other = await refusal(broker_of.watch(service, strict_partitions=12))
        assert "says 4 partitions of every strict topic" in other
        assert "IMAGELANE_KAFKA__STRICT_PARTITIONS says 12" in other
        second = await refusal(broker_of.watch(service, deployment_id="second"))
        assert "IMAGELANE_DEPLOYMENT_ID says 'second'" in second


async def test_a_second_deployment_is_refused_by_apply_too(broker_of: Broker) -> None:
    told = topics.apply(broker_of.kafka, print, deployment_id="second")
    assert "are the deployment 'imagelane''s" in str(told[0])
    assert topics.check(broker_of.kafka) == []


async def test_topics_without_a_record_are_adopted_once(broker_of: Broker) -> None:
    broker_of.delete(names.TOPOLOGY)
    assert "topology does not exist" in await refusal(broker_of.watch("intake"))
    broker_of.create(names.TOPOLOGY, 1)
    broker_of.configure(names.TOPOLOGY, "cleanup.policy", "compact")
    assert "has no record: `imagelane topics apply`" in await refusal(broker_of.watch("intake"))
    told: list[str] = []
    topics.apply(broker_of.kafka, told.append)
    assert told == ["recorded the topics as the deployment 'imagelane''s"]
    await broker_of.watch("intake").require()


@pytest.mark.parametrize(
    ("service", "log", "policy"),
    [("dispatcher", names.CALLS, "delete"), ("batcher", CHANGELOG, "compact,delete")],
)
async def test_a_log_that_would_be_thrown_away_is_refused(
    broker_of: Broker, service: str, log: str, policy: str
) -> None:
    broker_of.configure(log, "cleanup.policy", policy)
    words = f"{log}: cleanup.policy is {policy}, the file says compact"
    assert words in await refusal(broker_of.watch(service))
    assert words in "\n".join(map(str, topics.check(broker_of.kafka)))
    await broker_of.watch("processor").require()  # it does not use it


async def test_a_retention_that_loses_records_is_refused_and_a_longer_one_told(
    broker_of: Broker,
) -> None:
    broker_of.configure(names.COMMANDS, "retention.ms", "60000")
    words = "commands: retention.ms is 60000, the file says 7776000000"
    for service in ("intake", "batcher", "dispatcher"):
        assert words in await refusal(broker_of.watch(service))
    broker_of.configure(names.COMMANDS, "retention.ms", "-1")
    await broker_of.watch("dispatcher").require()
    assert "retention.ms is -1" in str(topics.check(broker_of.kafka)[0])


async def test_fewer_copies_than_the_settings_want_are_refused(broker_of: Broker) -> None:
    words = await refusal(broker_of.watch("dispatcher", replication_factor=3))
    assert "is kept 1 times, IMAGELANE_KAFKA__REPLICATION_FACTOR says 3" in words


async def test_a_missing_topic_and_one_that_made_itself_are_refused_by_name(
    broker_of: Broker,
) -> None:
    broker_of.delete(names.BATCHES)
    assert f"{broker_of.kafka.topic('batches')} does not exist" in await refusal(
        broker_of.watch("batcher")
    )
    assert "is missing, though it was made" in str(topics.check(broker_of.kafka)[0])
    assert "is missing, though it was made" in str(topics.apply(broker_of.kafka, print)[0])
    broker_of.create(names.BATCHES, 1)
    assert "batches has 1 partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says 4" in await refusal(
        broker_of.watch("batcher")
    )


async def test_a_topic_made_anew_is_refused_until_a_person_accepts_it(broker_of: Broker) -> None:
    kafka = broker_of.kafka
    member = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": kafka.group("dispatcher")}
    )
    broker_of.delete(names.BATCHES)
    with pytest.raises(topics.TopicsError, match="cannot be accepted: only it knows"):
        acceptance.accept(kafka, "imagelane", [names.CALLS], print)
    broker_of.create(names.BATCHES, 4)
    assert "batches was deleted and made anew: its id is" in await refusal(
        broker_of.watch("dispatcher")
    )
    broker_of.configure(names.BATCHES, "retention.ms", "2592000000")
    place = TopicPartition(kafka.topic(names.BATCHES), 1, 1_000)
    member.commit(offsets=[place], asynchronous=False)
    acceptance.accept(kafka, "imagelane", [names.BATCHES], print)
    await broker_of.watch("dispatcher").require()
    assert [one.offset for one in member.committed([place], timeout=10)] == [0]
    member.close()
    with pytest.raises(topics.TopicsError, match="nothing to accept"):
        acceptance.accept(kafka, "imagelane", [names.BATCHES], print)


async def test_whoever_produces_leaves_when_a_topic_grows_and_who_holds_lanes_doubts(
    broker_of: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(topology, "AGAIN_SECONDS", 0.1)
    processor, downloader, dispatcher = map(
        broker_of.watch, ("processor", "downloader", "dispatcher")
    )
    of_lanes = broker_of.watch("batcher", "dispatcher")
    for one in (processor, downloader, dispatcher, of_lanes):
        await one.require()
    standing = [asyncio.create_task(one.stand_guard()) for one in (processor, downloader)]
    observing = [asyncio.create_task(one.observe()) for one in (dispatcher, of_lanes)]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in (*standing, *observing))
    assert dispatcher.doubt == of_lanes.difference == ""
    broker_of.grow(names.PROCESSED, 6)
    broker_of.grow(names.COMPLETED, 6)
    words = "has 6 partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says 4"
    async with asyncio.timeout(60):
        with pytest.raises(TopologyError, match=f"processed {words}"):
            await standing[0]
    await eventually(lambda: dispatcher.doubt and of_lanes.difference)
    assert f"completed {words}" in dispatcher.doubt
    assert f"completed {words}" in of_lanes.difference
    assert f"processed {words}" in of_lanes.difference
    assert not standing[1].done(), "the downloader does not use it"
    for task in (standing[1], *observing):
        task.cancel()


async def test_a_strict_record_goes_where_the_settings_say_though_the_topic_has_grown(
    broker_of: Broker,
) -> None:
    kafka = broker_of.kafka
    broker_of.grow(names.JOBS, 6)
    producer = EventProducer(kafka, source="/test")
    customers = [f"customer-{number}" for number in range(40)]
    for customer_id in customers:
        producer.send(
            JobAccepted(
                customer_id=customer_id,
                job_id="a" * 32,
                recipe="default",
                destination="default",
                occurred_at=datetime.now(UTC),
            )
        )
    await producer.flush()
    await producer.close()
    messages = await asyncio.to_thread(lambda: list(read_records(kafka, names.JOBS)))
    assert {message.key(): message.partition() for message in messages} == {
        one.encode(): partition_of(one.encode(), 4) for one in customers
    }
