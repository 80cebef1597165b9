"""Consumption: records as work items, done in any order, committed in order, fair to every customer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar, cast

from imagelane.contracts.codec import Headers
from imagelane.contracts.topics import SPREAD, URLS
from imagelane.core.fairness import FairQueue
from imagelane.core.health import MemberState, Place
from imagelane.core.offsets import check_note
from imagelane.core.partitioning import partition_of
from imagelane.core.poison import PoisonFloodError, PoisonGauge
from imagelane.platform.group_member import GroupMember
from imagelane.platform.groups import configure_group, require_topics
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tenures import Arrival, Tenure, WorkLimits

__all__ = ["RecordStalledError", "WorkConsumer", "WorkItem", "WorkLimits"]

STALL_CHECK_SECONDS: Final = 1.0

A = TypeVar("A")


class RecordStalledError(Exception):
    """A record was taken and is neither done nor noted for too long: it blocks its partition's offset."""


@dataclass(slots=True, eq=False)
class WorkItem:
    """One record to work on, from `take` to `done`."""

    record: Record
    note: str | None = None
    """What the last `note` said before a restart."""
    misplaced: bool = False
    """The record is not on its key's partition of a strict topic: another worker owns the customer."""
    tenure: Tenure = field(default_factory=Tenure, repr=False)

    @property
    def revoked(self) -> bool:
        """The partition left: another member has the record now, so stop; `done` does nothing."""
        return self.tenure.revoked


class WorkConsumer:
    """A member of a service's consumer group. Belongs to the running event loop.

    Every record is taken at least once, until it was done: its offset is committed only after all
    received records below it are done too. `failed` ends with the error that the consumer cannot go
    on from: a fatal client error, a log that went back, `RecordStalledError`, or `PoisonFloodError`.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        service: str,
        topics: Sequence[str],
        limits: WorkLimits | None = None,
        verify_partition: bool = True,
    ) -> None:
        """With `verify_partition`, items of strict topics say whether they are `misplaced`."""
        self._settings = settings
        self._service = service
        self._topics = topics
        self._limits = limits or WorkLimits()
        self._verified = set(topics) - SPREAD - {URLS} if verify_partition else set()
        self._loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        self._queue: FairQueue[Arrival] = FairQueue()
        self._ready = asyncio.Event()
        self._stopping = False
        self._in_work: dict[WorkItem, float] = {}
        self._moves = 0
        self._taken = 0
        self._poison = PoisonGauge(settings.unreadable_ratio, settings.unreadable_records)
        self._stall_check: asyncio.TimerHandle | None = None
        self._member: GroupMember | None = None

    async def start(self) -> None:
        """Joins the group. Raises `KafkaStartError` if the broker or a topic is not there."""
        await asyncio.to_thread(require_topics, self._settings, self._topics)
        if self._settings.group_protocol == "consumer":
            await asyncio.to_thread(configure_group, self._settings, self._service)
        self._member = GroupMember(
            self._settings,
            service=self._service,
            topics=self._topics,
            limits=self._limits,
            deliver=partial(self._from_thread, self._arrived),
            fail=partial(self._from_thread, self._fail),
        )
        self._member.start()
        self._check_stalled()

    @property
    def read_ahead(self) -> int:
        """How many records were read and not yet taken."""
        return self._running.backlog.records

    @property
    def state(self) -> MemberState:
        """What the health probes want to know of it."""
        member = self._member
        if member is None:
            return MemberState(time.monotonic(), {}, unready="it does not join its group yet")
        return MemberState(
            turned_at=member.turned_at,
            positions=member.positions,
            read_ahead=member.backlog.records,
            in_work=len(self._in_work),
            moves=self._moves,
        )

    @property
    def tenures(self) -> Mapping[Place, Tenure]:
        """The partitions that this member has, each with what tells this assignment from another."""
        return {} if self._member is None else self._member.tenures

    async def take(self) -> WorkItem:
        """The next record: customers take turns over everything read ahead.

        Waits for one; once `stop` has begun, until it is cancelled.
        """
        while True:
            await self._turn()
            tenure, offset, message, note = self._queue.take()
            self._running.backlog.remove(message)
            if not tenure.leaving:
                break
        key = message.key()
        item = WorkItem(
            Record(
                topic=tenure.topic,
                partition=tenure.partition,
                offset=offset,
                key=key,
                value=message.value(),
                headers=cast(Headers, message.headers() or []),
                timestamp_ms=message.timestamp()[1],
            ),
            note,
            self._is_misplaced(tenure, key),
            tenure,
        )
        tenure.in_work += 1
        self._taken += 1
        self._moves += 1
        self._in_work[item] = self._loop.time()
        return item

    def hold(self, item: WorkItem) -> None:
        """Hands out no more of the item's customer, as far as it is read ahead, until `resume`."""
        self._queue.hold((item.record.topic, item.record.key))

    def resume(self, item: WorkItem) -> None:
        """The item's customer takes its turns again."""
        self._queue.resume((item.record.topic, item.record.key))
        self._ready.set()

    def unreadable(self) -> None:
        """An item becomes a dead letter. In a flood of them `failed` ends with a `PoisonFloodError`."""
        try:
            self._poison.unreadable(self._loop.time(), self._taken)
        except PoisonFloodError as error:
            self._fail(error)

    def done(self, item: WorkItem) -> None:
        """The record's effects are durable. Once for each item taken."""
        if self._in_work.pop(item, None) is None and not item.revoked:
            raise ValueError(f"{_name_of(item)} is not in work")
        self._moves += 1
        self._running.marks.append((item.tenure, item.record.offset, None))
        item.tenure.in_work -= 1

    def note(self, item: WorkItem, text: str) -> None:
        """Keeps short progress text with the commits until the record is done; a sign of life, too.

        Raises `ValueError` if it is not printable ASCII of at most 64 characters.
        """
        check_note(text)
        if self._in_work.pop(item, None) is not None:
            self._in_work[item] = self._loop.time()
        self._running.marks.append((item.tenure, item.record.offset, text))

    async def stop(self) -> None:
        """Hands out nothing more, waits up to 0.5 s for items in work, commits and leaves the group."""
        self._stopping = True  # whoever takes from now on waits until it is cancelled
        if self._stall_check is not None:
            self._stall_check.cancel()
        if self._member is not None:
            await asyncio.to_thread(self._member.stop)

    @property
    def _running(self) -> GroupMember:
        if self._member is None:
            raise RuntimeError("the consumer was not started")
        return self._member

    def _arrived(self, batch: list[Arrival]) -> None:
        if self._stopping:
            return
        for arrival in batch:
            self._queue.put((arrival[0].topic, arrival[2].key()), arrival)
        self._ready.set()

    async def _turn(self) -> None:
        while self._stopping or not self._queue.has_turn:
            self._ready.clear()
            await self._ready.wait()

    def _is_misplaced(self, tenure: Tenure, key: bytes | None) -> bool:
        if tenure.topic not in self._verified:
            return False
        return (
            key is None or partition_of(key, self._settings.strict_partitions) != tenure.partition
        )

    def _check_stalled(self) -> None:
        now = self._loop.time()
        while self._in_work:
            item, since = next(iter(self._in_work.items()))
            if not item.revoked:
                if now - since > self._limits.max_record_seconds:
                    self._fail(
                        RecordStalledError(f"{_name_of(item)} hangs for {now - since:.0f} s")
                    )
                break
            del self._in_work[item]
        self._stall_check = self._loop.call_later(STALL_CHECK_SECONDS, self._check_stalled)

    def _from_thread(self, call: Callable[[A], None], argument: A) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, argument)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)


def _name_of(item: WorkItem) -> str:
    record = item.record
    return f"{record.topic}[{record.partition}]@{record.offset}"
