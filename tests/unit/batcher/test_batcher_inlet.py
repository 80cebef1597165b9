"""What comes through the gate: only records of this assignment, each once, each where it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from tests.unit.batcher.conftest import RULES, START, job_id

from imagelane.batcher import heartbeat, inlet
from imagelane.batcher.core.lanes import Lanes
from imagelane.batcher.core.order import OrderGuard, Place
from imagelane.batcher.heartbeat import Heartbeat
from imagelane.batcher.inlet import Inlet
from imagelane.batcher.leaving import Exit
from imagelane.batcher.outbox import Batch
from imagelane.batcher.settings import BatcherSettings
from imagelane.contracts import events as e
from imagelane.contracts.codec import encode
from imagelane.core.partitioning import partition_of
from imagelane.platform.settings import KafkaSettings

PARTITIONS = 4
CUSTOMER = "acme"
HOME = partition_of(CUSTOMER.encode(), PARTITIONS)
PROCESSED = "processed"
NEIGHBOUR = next(
    key for key in map(b"c%d".__mod__, range(100)) if partition_of(key, PARTITIONS) == HOME
)
GENERATION = 5
SEALED = encode(
    e.JobSealed(
        customer_id=CUSTOMER,
        job_id=job_id("a"),
        recipe="default",
        destination="default",
        images=3,
        occurred_at=START,
    )
)


class LeftError(Exception):
    """The process would have ended."""


def leaves(code: int, *_why: object, **_fields: object) -> NoReturn:
    raise LeftError(code)


@pytest.fixture(autouse=True)
def _leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (heartbeat, inlet):
        monkeypatch.setattr(module, "leave", leaves)


@dataclass
class Arrival:
    """An event of Faust's, as far as it is looked at."""

    message: Any


def arrival(
    offset: int,
    *,
    key: bytes = CUSTOMER.encode(),
    partition: int = HOME,
    generation: int = GENERATION,
) -> Arrival:
    told = {"key": key, "value": SEALED, "headers": [], "timestamp": 0.0}
    place = {"topic": "jobs", "partition": partition, "offset": offset}
    return Arrival(SimpleNamespace(**told, **place, generation_id=generation))


@dataclass
class Desk:
    """An inlet behind an open gate."""

    batches: list[Batch] = field(default_factory=list)
    owned: Any = None
    inlet: Inlet = field(init=False)

    def __post_init__(self) -> None:
        async def passage() -> None:
            return

        self.owned = SimpleNamespace(
            is_open=True,
            generation=GENERATION,
            passage=passage,
            lanes={at: Lanes(RULES, writer="w") for at in range(PARTITIONS)},
            guard=OrderGuard({Place("jobs", at): 10 for at in range(PARTITIONS)}),
        )
        kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", strict_partitions=PARTITIONS)

        def written(*_record: object, **_how: object) -> asyncio.Future[None]:
            done = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done

        self.inlet = Inlet(
            cast(Any, SimpleNamespace(kafka=kafka, batcher=BatcherSettings())),
            cast(Any, SimpleNamespace(send_changelog=written)),
            Heartbeat(60.0),
            self.owned,
            cast(Any, SimpleNamespace(add=self.batches.append)),
            inputs={"jobs": "jobs"},
        )

    async def taken(self, *arrivals: Arrival) -> Batch:
        """What follows from these, in one batch."""

        async def events() -> AsyncIterator[Arrival]:
            for one in arrivals:
                yield one

        stream = SimpleNamespace(noack=lambda: SimpleNamespace(events=events))
        await self.inlet.consume(cast(Any, stream))
        self.inlet.flush()
        for batch in self.batches:
            await asyncio.gather(*batch.writes)
        return self.batches[-1] if self.batches else Batch()

    def jobs(self) -> int:
        return sum(len(lane.jobs) for lanes in self.owned.lanes.values() for lane in lanes)


async def test_a_record_in_its_turn_is_folded() -> None:
    desk = Desk()
    batch = await desk.taken(arrival(10))
    assert (len(batch.events), batch.sends, desk.jobs()) == (1, [], 1)


async def test_records_of_an_earlier_assignment_are_not_taken() -> None:
    desk = Desk()
    assert not (await desk.taken(arrival(10, generation=GENERATION - 1))).events
    assert desk.jobs() == 0


async def test_what_was_skipped_comes_first_and_what_came_is_not_taken_again() -> None:
    desk = Desk()
    assert not (await desk.taken(arrival(11))).events
    assert len((await desk.taken(arrival(10), arrival(10), arrival(11))).events) == 2


async def test_a_record_before_the_beginning_ends_the_process() -> None:
    with pytest.raises(LeftError, match=str(int(Exit.FOREIGN_RECORDS))):
        await Desk().taken(arrival(9))


@pytest.mark.parametrize(
    ("key", "partition"), [(CUSTOMER.encode(), (HOME + 1) % PARTITIONS), (NEIGHBOUR, HOME)]
)
async def test_what_is_not_where_it_belongs_is_a_dead_letter(key: bytes, partition: int) -> None:
    desk = Desk()
    batch = await desk.taken(arrival(10, key=key, partition=partition))
    assert [one.topic for one in batch.sends] == ["dlq.jobs"]
    assert (len(batch.events), desk.jobs()) == (1, 0)


async def test_what_was_folded_before_the_gate_shut_is_left_to_the_next_owner() -> None:
    desk = Desk()
    desk.inlet.take(cast(Any, arrival(10)))
    desk.owned.is_open = False
    desk.inlet.flush()
    assert desk.batches == []
    desk.inlet.drop()
    desk.owned.is_open = True
    desk.inlet.flush()
    assert not any(batch.events for batch in desk.batches)


def test_a_process_that_was_paused_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = iter([100.0, 102.9, 106.0])
    clock = SimpleNamespace(monotonic=lambda: next(instants))
    monkeypatch.setattr(heartbeat, "time", clock)
    beating = Heartbeat(3.0)
    beating.beat()
    with pytest.raises(LeftError, match=str(int(Exit.SLEPT))):
        beating.beat()
