"""The gate between Faust and the lanes: open only while this process surely owns what it reads.

Faust calls `on_recover` for recoveries that a newer rebalance has overtaken, and delivers records of
an old assignment. So nothing is decided there: inputs are set to where reading has to begin, and the
lanes are built when Faust says that it is ready, if the generation is still the same.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

import structlog
from aiokafka.errors import IllegalStateError
from faust import Table
from faust.types import TP

from imagelane.batcher.clock import now
from imagelane.batcher.core.lanes import Lanes
from imagelane.batcher.core.order import OrderGuard, Place
from imagelane.batcher.core.policy import Rules
from imagelane.batcher.core.records import partition_of_key, table_key
from imagelane.batcher.faust_app import LaneApp
from imagelane.batcher.leaving import Exit, leave
from imagelane.batcher.metrics import GATE_OPENED
from imagelane.core.health import MemberState

RECORDS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """Where reading begins in one generation of the group."""

    generation: int
    first: dict[Place, int]
    rewind: dict[Place, int]
    """Inputs of which more is committed than the earliest record: there, if the table is lost."""


class Ownership:
    """Which partitions' lanes this process holds, since which generation."""

    on_open: Callable[[list[int]], None]
    """Called when the gate has opened, with the partitions whose table is new."""

    def __init__(
        self,
        app: LaneApp,
        table: Table[bytes, bytes],
        *,
        inputs: frozenset[str],
        partitions: int,
        rules: Rules,
    ) -> None:
        self._app = app
        self._table = table
        self._inputs = inputs
        self._partitions = partitions
        self._rules = rules
        self._log = structlog.get_logger("imagelane.batcher")
        self._found: Found | None = None
        self._opened = asyncio.Event()
        self._beginning: asyncio.Task[None] | None = None
        self.is_open = False
        self.generation = -1
        self.shut_since_seconds = now().seconds
        self.lanes: dict[int, Lanes] = {}
        self.guard = OrderGuard({})

    def state(self, topics: Mapping[str, str]) -> MemberState:
        """What the health probes want to know; the heartbeat looks after the event loop.

        `topics`: the inputs' names without prefix, by those on the broker.
        """
        seconds = now().seconds
        if not self.is_open:
            return MemberState(seconds, {}, unready="its partitions are being taken over")
        positions = self.guard.positions.items()
        return MemberState(seconds, {(topics[at.topic], at.partition): to for at, to in positions})

    def shut(self) -> None:
        """A rebalance begins, or the process ends: lets nothing through any more.

        May be called from the consumer's thread.
        """
        if self.is_open:
            self.shut_since_seconds = now().seconds
        self.is_open = False
        self._found = None

    async def passage(self) -> None:
        """Waits until the gate is open."""
        while not self.is_open:
            self._opened.clear()
            await self._opened.wait()

    async def locate(self) -> None:
        """After a recovery: sets every input to where reading has to begin, and remembers it.

        Faust swallows what is raised here, so it runs apart and an error ends the process.
        """
        task = asyncio.ensure_future(self._locate())
        task.add_done_callback(_must_not_fail)
        await asyncio.wait([task])

    async def _locate(self) -> None:
        consumer = self._app.lane_consumer
        generation = self._app.consumer_generation_id
        places = {TP(*tp) for tp in consumer.assignment() if tp.topic in self._inputs}
        if not places:
            self._found = Found(generation, {}, {})
            return
        try:
            committed = await consumer.seek_to_committed()
            earliest = await consumer.earliest_offsets(*places)
            ends = await consumer.highwaters(*places)
            if generation != self._app.consumer_generation_id:
                return
            first = {place: max(committed.get(place) or 0, earliest[place]) for place in places}
            _refuse_foreign(first, ends)
            await consumer.seek_wait(first)
        except IllegalStateError:
            return  # overtaken: the partitions are not ours any more
        self._found = Found(
            generation,
            first={Place(*place): offset for place, offset in first.items()},
            rewind={
                Place(*place): earliest[place]
                for place in places
                if (committed.get(place) or 0) > earliest[place]
            },
        )

    def begin(self) -> None:
        """Faust says that it is ready: the lanes are built and the gate opens, if that is true."""
        found = self._found
        if found is None or found.generation != self._app.consumer_generation_id:
            return
        self._refuse_other_counts()
        task = self._beginning = asyncio.ensure_future(self._begin(found))
        task.add_done_callback(_must_not_fail)

    async def _begin(self, found: Found) -> None:
        records = await self._records_of({place.partition for place in found.first})
        new = [partition for partition in records if table_key(partition) not in records[partition]]
        lost = {place: at for place, at in found.rewind.items() if place.partition in new}
        if lost:
            await self._set_back(lost)
        moment = now()
        built: dict[int, Lanes] = {}
        for partition, kept in records.items():
            built[partition] = Lanes(self._rules, writer=secrets.token_hex(4))
            built[partition].restore(kept.items(), moment)
            await asyncio.sleep(0)
        if self._found is not found or found.generation != self._app.consumer_generation_id:
            return  # overtaken meanwhile
        self.lanes = built
        self.guard = OrderGuard(found.first)
        self.generation = found.generation
        self.is_open = True
        self._opened.set()
        GATE_OPENED.inc()
        self._log.info(
            "gate.opened",
            generation=found.generation,
            partitions=sorted(records),
            records=sum(map(len, records.values())),
            lanes=sum(len(list(lanes)) for lanes in built.values()),
        )
        self.on_open(new)

    async def _records_of(self, owned: set[int]) -> dict[int, dict[bytes, bytes]]:
        """The table's records by partition. Faust's store may still have those of partitions that left."""
        records: dict[int, dict[bytes, bytes]] = {partition: {} for partition in owned}
        for number, (key, value) in enumerate(list(self._table.data.items())):
            partition = partition_of_key(key, self._partitions)
            if partition in owned:
                records[partition][key] = value
            if number % RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return records

    async def _set_back(self, offsets: Mapping[Place, int]) -> NoReturn:
        """The table is gone though offsets are committed: everything that is left is read again."""
        to = {TP(*place): offset for place, offset in offsets.items()}
        if await self._app.lane_consumer.set_back(to):
            leave(Exit.TABLE_LOST, "the table is lost; the inputs were set back", offsets=str(to))
        leave(1, "the table is lost, and the inputs could not be set back")

    def _refuse_other_counts(self) -> None:
        for topic in (*self._inputs, self._table.changelog_topic.get_topic_name()):
            count = self._app.consumer.topic_partitions(topic)
            if count not in (None, self._partitions):
                leave(
                    Exit.WRONG_PARTITIONS,
                    "IMAGELANE_KAFKA__STRICT_PARTITIONS and the topic differ",
                    topic=topic,
                    partitions=count,
                    strict_partitions=self._partitions,
                )


def _must_not_fail(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        leave(1, "the partitions could not be taken over", error)


def _refuse_foreign(first: Mapping[TP, int], ends: Mapping[TP, int]) -> None:
    for place, offset in first.items():
        if offset > ends[place]:
            leave(
                Exit.FOREIGN_RECORDS,
                "more is committed than the topic has: it was deleted and made anew",
                topic=place.topic,
                partition=place.partition,
                committed=offset,
                end=ends[place],
            )
