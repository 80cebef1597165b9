"""The topic `notices`, partition by partition: read whole when a partition comes, and followed from there.

Nothing is remembered in commits. The group is there to share the partitions out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

import structlog
from confluent_kafka import Message

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.notices import NoticeRecorded, notice_key
from imagelane.contracts.topics import NOTICES
from imagelane.core.health import MemberState
from imagelane.notifier.core.attempts import fold, is_whole
from imagelane.notifier.delivering import Delivering
from imagelane.notifier.metrics import UNREADABLE
from imagelane.platform.groups import admin_client
from imagelane.platform.latest_records import read_records, start_offsets
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.tenures import Tenure
from imagelane.platform.work import WorkConsumer, WorkItem

LOOK_SECONDS: Final = 0.25
TAKEN_IN_SECONDS: Final = 0.02


@dataclass(slots=True)
class Restored:
    """What is pending in a partition as far as it was read."""

    pending: dict[bytes, NoticeRecorded] = field(default_factory=dict)
    next_offset: int = 0


class Following:
    """Brings `Delivering` what is pending in this process's partitions, and takes away what is not.

    A partition is read to its end before anything of it is posted: the last record of a key counts.
    From then on only two kinds of record are news: a notice that intake begins, and the end of one
    that another notifier has still posted.
    """

    def __init__(
        self, consumer: WorkConsumer, delivering: Delivering, settings: KafkaSettings
    ) -> None:
        self._consumer = consumer
        self._delivering = delivering
        self._settings = settings
        self._restored: dict[int, tuple[Tenure, int]] = {}
        """Of every partition: in which assignment it was read, and up to where."""
        self._log = structlog.get_logger("imagelane.notifier")

    @property
    def state(self) -> MemberState:
        """What the probes want to know."""
        state = self._consumer.state
        if self._owned.keys() - self._restored.keys():
            return replace(state, unready="it reads what is pending in its partitions")
        return state

    async def watch(self) -> None:
        """Takes partitions in and gives them up, as they come and go. Until it is cancelled."""
        while True:
            owned = self._owned
            for partition, (tenure, _) in list(self._restored.items()):
                if owned.get(partition) is not tenure:
                    del self._restored[partition]
                    self._delivering.drop_partition(partition)
            await self._restore(owned)
            await asyncio.sleep(LOOK_SECONDS)

    async def follow(self) -> None:
        """Takes records as they come. Until it is cancelled."""
        while True:
            item = await self._consumer.take()
            await self._take(item)
            self._consumer.done(item)

    @property
    def _owned(self) -> dict[int, Tenure]:
        return {partition: tenure for (_, partition), tenure in self._consumer.tenures.items()}

    async def _take(self, item: WorkItem) -> None:
        record = item.record
        tenure, next_offset = self._restored.get(record.partition, (None, 0))
        while tenure is not item.tenure and not item.revoked:
            await asyncio.sleep(TAKEN_IN_SECONDS)  # `watch` is about to take the partition in
            tenure, next_offset = self._restored.get(record.partition, (None, 0))
        if item.revoked or record.offset < next_offset:
            return
        notice = self._read(record.key, record.value, record.partition, record.offset)
        if notice is None or (notice.state == "pending" and notice.attempts):
            return  # unreadable, or our own words of a moment ago
        key = notice_key(notice)
        have = self._delivering.pending(key)
        now = fold(have, notice)
        if now is None:
            self._delivering.drop(key)
        elif now is not have:
            await self._delivering.put(now, record.partition)

    async def _restore(self, owned: Mapping[int, Tenure]) -> None:
        wanted = owned.keys() - self._restored.keys()
        if not wanted:
            return
        found = await asyncio.to_thread(self._pending_in, wanted)
        for partition, restored in found.items():
            for notice in restored.pending.values():
                await self._delivering.put(notice, partition)
            self._restored[partition] = owned[partition], restored.next_offset
            self._log.info("partition.restored", partition=partition, pending=len(restored.pending))

    def _pending_in(self, partitions: set[int]) -> dict[int, Restored]:
        starts = start_offsets(admin_client(self._settings), self._settings, NOTICES)
        wanted = {at: start for at, start in starts.items() if at in partitions}
        found = {at: Restored() for at in wanted}
        for message in read_records(self._settings, NOTICES, wanted):
            restored = found[cast(int, message.partition())]
            restored.next_offset = cast(int, message.offset()) + 1
            _note(restored, message, self._read)
        return found

    def _read(
        self, key: bytes | None, value: bytes | None, partition: int, offset: int
    ) -> NoticeRecorded | None:
        if value is None:
            return None
        try:
            return _notice_in(key, value)
        except UnreadableRecordError as error:
            UNREADABLE.inc()
            self._log.error(
                "notice.unreadable", partition=partition, offset=offset, reason=str(error)
            )
            return None


def _notice_in(key: bytes | None, value: bytes) -> NoticeRecorded:
    notice: NoticeRecorded = decode(NOTICES, value)
    if key != notice_key(notice):
        raise UnreadableRecordError("the key is not the notice's")
    if notice.state == "pending" and not is_whole(notice):
        raise UnreadableRecordError("notify_url, finished, refused: there is nothing to post")
    return notice


Read = Callable[[bytes | None, bytes | None, int, int], NoticeRecorded | None]


def _note(restored: Restored, message: Message, read: Read) -> None:
    key, offset = message.key() or b"", cast(int, message.offset())
    if message.value() is None:
        restored.pending.pop(key, None)
        return
    told = read(key, message.value(), cast(int, message.partition()), offset)
    if told is None:
        return
    now = fold(restored.pending.get(key), told)
    if now is None:
        restored.pending.pop(key, None)
    else:
        restored.pending[key] = now
