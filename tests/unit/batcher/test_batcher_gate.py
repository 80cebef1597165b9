"""The gate: open only while this process surely owns what it reads, and reads it from where it ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from faust.types import TP
from tests.unit.batcher.conftest import RULES

from imagelane.batcher import ownership
from imagelane.batcher.core.order import Place
from imagelane.batcher.core.records import table_key
from imagelane.batcher.leaving import Exit
from imagelane.batcher.ownership import Ownership
from imagelane.core.partitioning import partition_of

PARTITIONS = 4
CUSTOMER = "acme"
HOME = partition_of(CUSTOMER.encode(), PARTITIONS)
PROCESSED = "processed"
GENERATION = 5


class LeftError(Exception):
    """The process would have ended."""


def leaves(code: int, *_why: object, **_fields: object) -> NoReturn:
    raise LeftError(code)


@pytest.fixture(autouse=True)
def _leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "leave", leaves)


PLACE = TP(PROCESSED, HOME)


@dataclass
class Kafka:
    """Stands for Faust's consumer: one partition of one input, of which 10 to 90 are there."""

    committed: int | None = 40
    earliest: int = 10
    end: int = 90
    sought: dict[TP, int] = field(default_factory=dict)
    set_back_to: dict[TP, int] = field(default_factory=dict)

    def assignment(self) -> set[TP]:
        return {PLACE}

    async def seek_to_committed(self) -> dict[TP, int]:
        return {} if self.committed is None else {PLACE: self.committed}

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        return dict.fromkeys(places, self.earliest)

    async def highwaters(self, *places: TP) -> dict[TP, int]:
        return dict.fromkeys(places, self.end)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.sought = dict(offsets)

    async def set_back(self, offsets: dict[TP, int]) -> bool:
        self.set_back_to = dict(offsets)
        return True


@dataclass
class Gate:
    kafka: Kafka = field(default_factory=Kafka)
    counted: int = PARTITIONS
    table: dict[bytes, bytes] = field(default_factory=lambda: {table_key(HOME): b"{}"})
    app: Any = None
    errors: list[BaseException] = field(default_factory=list)
    new: list[list[int]] = field(default_factory=list)
    ownership: Ownership = field(init=False)

    def __post_init__(self) -> None:
        self.app = SimpleNamespace(
            consumer_generation_id=GENERATION,
            lane_consumer=self.kafka,
            consumer=SimpleNamespace(topic_partitions=lambda _topic: self.counted),
        )
        changelog = SimpleNamespace(get_topic_name=lambda: "changelog")
        self.ownership = Ownership(
            self.app,
            cast(Any, SimpleNamespace(data=self.table, changelog_topic=changelog)),
            inputs=frozenset({PROCESSED}),
            partitions=PARTITIONS,
            rules=RULES,
        )
        self.ownership.on_open = self.new.append

    async def opened(self, *, overtaken: bool = False) -> bool:
        """Recovers and begins, as Faust has it; whether the gate is open then."""
        await self.ownership.locate()
        self.ownership.begin()
        if overtaken:
            self.app.consumer_generation_id += 1
        for _ in range(20):
            await asyncio.sleep(0)
        return self.ownership.is_open


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()

    def note(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            made.errors.append(error)

    monkeypatch.setattr(ownership, "_must_not_fail", note)
    return made


@pytest.mark.parametrize(("committed", "begins"), [(40, 40), (None, 10), (5, 10)])
async def test_reading_begins_at_what_is_committed_and_there(
    gate: Gate, committed: int | None, begins: int
) -> None:
    gate.kafka.committed = committed
    assert await gate.opened()
    assert gate.kafka.sought == {PLACE: begins}
    assert gate.ownership.guard.positions == {Place(*PLACE): begins}
    assert list(gate.ownership.lanes) == [HOME]


async def test_a_gate_that_a_rebalance_has_overtaken_stays_shut(gate: Gate) -> None:
    assert not await gate.opened(overtaken=True)
    assert gate.errors == []


async def test_a_rebalance_shuts_the_gate(gate: Gate) -> None:
    assert await gate.opened()
    gate.ownership.shut()
    gate.ownership.begin()
    await asyncio.sleep(0)
    assert not gate.ownership.is_open


async def test_where_the_table_is_lost_everything_is_read_again(gate: Gate) -> None:
    gate.table.clear()
    assert not await gate.opened()
    assert gate.kafka.set_back_to == {PLACE: 10}
    assert [error.args for error in gate.errors] == [(Exit.TABLE_LOST,)]


async def test_a_new_table_is_no_lost_one(gate: Gate) -> None:
    gate.table.clear()
    gate.kafka.committed = None
    assert await gate.opened()
    assert gate.new == [[HOME]]


async def test_more_committed_than_there_is_ends_the_process(gate: Gate) -> None:
    gate.kafka.committed = 91
    await gate.ownership.locate()
    assert [error.args for error in gate.errors] == [(Exit.FOREIGN_RECORDS,)]


async def test_another_number_of_partitions_ends_the_process(gate: Gate) -> None:
    gate.counted = PARTITIONS + 4
    with pytest.raises(LeftError, match=str(int(Exit.WRONG_PARTITIONS))):
        await gate.opened()
