"""What leaves a batcher leaves in this order: writes to the table, events, acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest
from faust.types import AppT, EventT

from imagelane.batcher.outbox import Batch, Outbox, Outgoing


class Producer:
    """Says when an event is sent; it is delivered when its future is done."""

    def __init__(self, said: list[str]) -> None:
        self.said = said
        self.deliveries: list[asyncio.Future[None]] = []

    async def send(self, topic: str, **_record: object) -> Awaitable[None]:
        self.said.append(f"sent to {topic}")
        self.deliveries.append(asyncio.get_running_loop().create_future())
        return self.deliveries[-1]


class Event:
    """An event of an input."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said, self.name = said, name

    def ack(self) -> None:
        self.said.append(f"{self.name} acknowledged")


class App:
    def __init__(self, said: list[str]) -> None:
        self.producer = Producer(said)


@pytest.fixture
def said() -> list[str]:
    return []


def batch(said: list[str], name: str, written: asyncio.Future[None]) -> Batch:
    return Batch(
        events=[cast(EventT[bytes], Event(said, name))],
        writes=[written],
        sends=[Outgoing("batches", b"acme", b"{}", [])],
    )


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_acknowledged_before_what_follows_from_it_is_durable(
    said: list[str],
) -> None:
    app: Any = App(said)
    outbox = Outbox(cast(AppT, app))
    outbox.on_confirmed = lambda: None
    written = asyncio.get_running_loop().create_future()
    outbox.add(batch(said, "first", written))
    await settle()
    assert said == []
    written.set_result(None)
    await settle()
    assert said == ["sent to batches"]
    app.producer.deliveries[0].set_result(None)
    assert await outbox.drained(5.0)
    assert said == ["sent to batches", "first acknowledged"]


async def test_a_later_batch_is_acknowledged_later(said: list[str]) -> None:
    app: Any = App(said)
    outbox = Outbox(cast(AppT, app))
    outbox.on_confirmed = lambda: None
    slow, quick = (asyncio.get_running_loop().create_future() for _ in range(2))
    outbox.add(batch(said, "first", slow))
    outbox.add(batch(said, "second", quick))
    quick.set_result(None)
    await settle()
    app.producer.deliveries[0].set_result(None)
    await settle()
    assert said == ["sent to batches"]
    slow.set_result(None)
    await settle()
    app.producer.deliveries[1].set_result(None)
    assert await outbox.drained(5.0)
    assert said[-2:] == ["first acknowledged", "second acknowledged"]


async def test_nothing_is_acknowledged_once_its_partitions_are_going(said: list[str]) -> None:
    app: Any = App(said)
    outbox = Outbox(cast(AppT, app))
    outbox.on_confirmed = lambda: None
    written = asyncio.get_running_loop().create_future()
    outbox.add(batch(said, "first", written))
    outbox.drop_acknowledgements()
    written.set_result(None)
    await settle()
    app.producer.deliveries[0].set_result(None)
    assert await outbox.drained(5.0)
    assert said == ["sent to batches"]
