"""How far behind a service's group is, for back-pressure and for the sweep."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    OffsetSpec,
)

from imagelane.core.offsets import decode_progress
from imagelane.platform.groups import admin_client, awaits_leader, client_properties
from imagelane.platform.settings import KafkaSettings

REQUEST_SECONDS: Final = 5.0
LEADER_SECONDS: Final = 0.1
PARTITIONS_KNOWN_SECONDS: Final = 30.0
FIRST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call] # the client's own lack
END: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call] # the same


class LagUnknownError(Exception):
    """The broker did not answer; ask again later and assume nothing."""


class LagReader:
    """Asks the broker for offsets of topics and groups. Belongs to the running event loop.

    Each question is one or two requests, cheap enough for one every half second. Every method
    raises `LagUnknownError` when the broker does not answer within about five seconds.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = admin_client(settings)
        self._partitions: dict[str, tuple[float, list[int]]] = {}
        self._groups: dict[str, Consumer] = {}
        self._making = threading.Lock()

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """One above the newest record, for every partition."""
        return await self._offsets(topic, END)

    async def committed(self, service: str, topic: str) -> dict[int, int]:
        """What the service's group has committed; partitions without a commit are left out."""
        return {one.partition: one.offset for one in await self._commits(service, topic)}

    async def first_offsets(self, topic: str) -> dict[int, int]:
        """The oldest record that is still there, for every partition."""
        return await self._offsets(topic, FIRST)

    async def unread(self, service: str, topic: str) -> dict[int, int]:
        """How many records the service's group has not finished, for every partition.

        Those finished above the committed offset are left out, as far as its metadata tells.
        """
        ends, commits = await asyncio.gather(self.end_offsets(topic), self._commits(service, topic))
        starts = {one.partition: one.offset + _finished_above(one) for one in commits}
        if starts.keys() < ends.keys():
            starts = await self._offsets(topic, FIRST) | starts
        return {partition: max(0, end - starts[partition]) for partition, end in ends.items()}

    async def _offsets(self, topic: str, spec: OffsetSpec) -> dict[int, int]:
        deadline = time.monotonic() + REQUEST_SECONDS
        while True:
            try:
                return await self._asked_offsets(topic, spec)
            except KafkaException as error:
                # A topic made a moment ago has no leader yet; and after a broker's restart the client asks
                # with the old leader's epoch, and is refused, until it reads the topic's metadata again.
                self._partitions.pop(topic, None)
                if not awaits_leader(error.args[0]) or time.monotonic() > deadline:
                    name = self._settings.topic(topic)
                    text = f"offsets of {name}: {error.args[0].str()}"
                    raise LagUnknownError(text) from None
            await asyncio.sleep(LEADER_SECONDS)

    async def _asked_offsets(self, topic: str, spec: OffsetSpec) -> dict[int, int]:
        name = self._settings.topic(topic)
        wanted = {TopicPartition(name, number): spec for number in await self._numbers(topic)}
        answers = self._admin.list_offsets(wanted, request_timeout=REQUEST_SECONDS)
        found = await asyncio.gather(*map(asyncio.wrap_future, answers.values()))
        return {one.partition: answer.offset for one, answer in zip(answers, found, strict=True)}

    async def _commits(self, service: str, topic: str) -> list[TopicPartition]:
        name, numbers = self._settings.topic(topic), await self._numbers(topic)
        found = await asyncio.to_thread(
            self._ask_commits, service, [TopicPartition(name, number) for number in numbers]
        )
        return [one for one in found if one.offset >= 0]

    async def _numbers(self, topic: str) -> list[int]:
        known_at, numbers = self._partitions.get(topic, (0.0, []))
        now = time.monotonic()
        if not numbers or now - known_at > PARTITIONS_KNOWN_SECONDS:
            numbers = await asyncio.to_thread(self._ask_numbers, self._settings.topic(topic))
            self._partitions[topic] = now, numbers
        return numbers

    def _ask_numbers(self, name: str) -> list[int]:
        try:
            found = self._admin.list_topics(name, timeout=REQUEST_SECONDS).topics[name]
        except KafkaException as error:
            raise LagUnknownError(f"partitions of {name}: {error.args[0].str()}") from None
        if found.error is not None:
            raise LagUnknownError(f"partitions of {name}: {found.error.str()}")
        return sorted(found.partitions)

    def _ask_commits(self, service: str, partitions: list[TopicPartition]) -> list[TopicPartition]:
        group = self._settings.group(service)
        reader = self._reader_of(group)
        reader.poll(0)  # without a subscription this only clears away the client's complaints
        try:
            found = reader.committed(partitions, timeout=REQUEST_SECONDS)
        except KafkaException as error:
            raise LagUnknownError(f"commits of {group}: {error.args[0].str()}") from None
        for one in found:
            if one.error is not None:
                raise LagUnknownError(f"commits of {group}: {one.error.str()}")
        return found

    def _reader_of(self, group: str) -> Consumer:
        """A client that names the group and never joins it.

        The admin client has a call for this, in which librdkafka (2.16) dereferences a null pointer
        when the group's coordinator is not there or has moved; so the process would die of it.
        """
        with self._making:
            if group not in self._groups:
                properties = {**client_properties(self._settings), "group.id": group}
                self._groups[group] = Consumer({**properties, "enable.auto.commit": False})
            return self._groups[group]


def _finished_above(commit: TopicPartition) -> int:
    progress = decode_progress(commit.offset, commit.metadata)
    return sum(end - first for first, end in progress.finished)
