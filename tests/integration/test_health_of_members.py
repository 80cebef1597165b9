"""Probes of members of real groups: progress against lag, and standing by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from tests.waiting import eventually

from imagelane.core import health
from imagelane.platform import health_groups
from imagelane.platform.groups import client_properties
from imagelane.platform.health_groups import GroupPart, MemberStuckError
from imagelane.platform.lag import LagReader
from imagelane.platform.metrics_group import LAG
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.work import WorkConsumer

pytestmark = pytest.mark.kafka

SERVICE = "downloader"
TOPIC = "requested"
PARTITIONS = 4


@dataclass
class Member:
    consumer: WorkConsumer
    part: GroupPart
    watching: asyncio.Task[None]


@asynccontextmanager
async def member(kafka: KafkaSettings, *, idle_seconds: float = 120.0) -> AsyncIterator[Member]:
    """A worker of the group with its probes, not joined yet."""
    consumer = WorkConsumer(kafka, service=SERVICE, topics=[TOPIC])
    part = GroupPart(
        SERVICE,
        [TOPIC],
        LagReader(kafka),
        lambda: consumer.state,
        idle_seconds=idle_seconds,
        look_seconds=0.2,
    )
    watching = asyncio.create_task(part.run())
    try:
        yield Member(consumer, part, watching)
    finally:
        await consumer.stop()
        watching.cancel()


def send(kafka: KafkaSettings, count: int) -> None:
    producer = Producer(client_properties(kafka))
    for number in range(count):
        producer.produce(kafka.topic(TOPIC), key=f"c{number}", value=b"x")
    assert producer.flush(30) == 0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
async def test_a_member_more_than_there_are_partitions_stands_by_and_takes_over(
    kafka: KafkaSettings, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SPARE_SECONDS", 4.0)
    monkeypatch.setattr(health_groups, "JOIN_SECONDS", 1.0)
    settings = kafka.model_copy(update={"group_protocol": protocol, "session_timeout_seconds": 6.0})
    async with AsyncExitStack() as workers:
        members = [
            await workers.enter_async_context(member(settings)) for _ in range(PARTITIONS + 1)
        ]
        assert all(one.part.has_started() and one.part.is_ready() for one in members)
        await asyncio.gather(*(one.consumer.start() for one in members))
        await eventually(lambda: all(one.part.is_ready() == "" for one in members))
        assert sorted(len(one.consumer.state.positions) for one in members) == [0, 1, 1, 1, 1]
        (spare,) = (one for one in members if not one.consumer.state.positions)
        (leaver,) = members[:1] if members[0] is not spare else members[1:2]
        await leaver.consumer.stop()
        await eventually(lambda: spare.consumer.state.positions)
        assert spare.part.is_ready() == spare.part.lives() == spare.part.has_started() == ""


async def test_a_member_that_takes_nothing_while_records_wait_is_noticed(
    kafka: KafkaSettings,
) -> None:
    async with member(kafka, idle_seconds=1.0) as one:
        await one.consumer.start()
        await eventually(lambda: one.part.is_ready() == "")
        await asyncio.sleep(1.5)
        assert one.part.lives() == ""  # nothing waits
        send(kafka, 20)
        await eventually(one.part.lives)
        assert "records wait, and none was taken" in one.part.lives()
        assert one.part.is_ready() == one.part.lives()
        with pytest.raises(MemberStuckError):  # and with it the process ends
            await one.watching
        for _ in range(20):
            one.consumer.done(await one.consumer.take())
        await eventually(lambda: one.part.lives() == "")


async def test_the_lag_is_what_is_unfinished_wherever_it_lies(kafka: KafkaSettings) -> None:
    send(kafka, 30)
    async with member(kafka) as one:
        await one.consumer.start()
        items = [await one.consumer.take() for _ in range(10)]
        for item in items[:4]:
            one.consumer.done(item)
        shown = LAG.labels(SERVICE)
        await eventually(lambda: shown._value.get() == 26)
