"""Bringing records to the partitions where they belong after a topic has grown.

Each step may be broken off and done again: records are copied first, and only then are the old ones
cut off or passed over. What is copied twice is folded twice, which changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from imagelane.batcher.core.records import partition_of_key
from imagelane.contracts.codec import Headers, decode
from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import CALLS, NOTICES
from imagelane.core.partitioning import partition_of
from imagelane.ops.consumer_groups import ConsumerGroups
from imagelane.ops.delivery import Letter, deliver
from imagelane.platform.latest_records import Place, end_offsets, read_records, start_offsets
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 30.0
CONFIGURED_SECONDS: Final = 15.0
CONFIGURED_POLL_SECONDS: Final = 0.1
BATCHER_CHANGELOG: Final = "imagelane-batcher-lanes-changelog"
KEEPS_EVERYTHING: Final = {
    "cleanup.policy": "compact,delete",  # Kafka cuts off nothing of a topic that is only compacted
    "retention.ms": "-1",
    "retention.bytes": "-1",
}

Home = Callable[[bytes, bytes, int], int]
"""Where a record of a log belongs, by its key, its value and the number of partitions."""


class CopyError(Exception):
    """What was copied does not read as it was: nothing has been cut off."""


def _home_in_calls(_key: bytes, value: bytes, partitions: int) -> int:
    return partition_of(decode(CALLS, value).customer_id.encode(), partitions)


def _home_in_notices(_key: bytes, value: bytes, partitions: int) -> int:
    return partition_of(decode(NOTICES, value).customer_id.encode(), partitions)


def _home_in_changelog(key: bytes, _value: bytes, partitions: int) -> int:
    return partition_of_key(key, partitions)


HOMES: Final[Mapping[str, Home]] = {
    CALLS: _home_in_calls,
    NOTICES: _home_in_notices,
    BATCHER_CHANGELOG: _home_in_changelog,
}


class Rehousing:
    """Moves records. Every method raises `KafkaException` and `DeliveryError`."""

    def __init__(self, admin: AdminClient, settings: KafkaSettings) -> None:
        self._admin = admin
        self._settings = settings
        self._groups = ConsumerGroups(admin, settings)

    def log(self, topic: TopicFile, partitions: int) -> int:
        """Copies every live record of a compacted topic, and cuts off the old ones. Returns how many.

        The old ones are cut off, not deleted one by one: the batcher's table knows no partitions, so
        the deletion of a key on one would take it away on the other. Raises `CopyError`, too.
        """
        home = HOMES[topic.name]
        live = self._live(topic.name)
        homes = {
            place: home(place[1], cast(bytes, message.value()), partitions)
            for place, message in live.items()
        }
        if all(number == place[0] for place, number in homes.items()):
            self._configure(topic, {})  # as an earlier try may have left it
            return 0
        ends = end_offsets(self._admin, self._settings, topic.name)
        letters = [_letter(topic.name, message, homes[place]) for place, message in live.items()]
        deliver(self._settings, letters)
        self._verify(topic.name, ends, letters)
        self._configure(topic, KEEPS_EVERYTHING)
        self._cut_off(topic.name, ends)
        self._configure(topic, {})
        return len(letters)

    def unread(self, topic: TopicFile, partitions: int, old_partitions: int) -> int:
        """Copies what not all groups have read, and lets them go on after the originals."""
        starts = start_offsets(self._admin, self._settings, topic.name)
        ends = end_offsets(self._admin, self._settings, topic.name)
        groups = {
            group: commits
            for service in topic.consumers
            for group in self._groups.of_service(service)
            if (commits := self._groups.commits(group, topic.name, old_partitions))
        }
        first = {
            at: max(starts[at], min(commits.get(at, 0) for commits in groups.values()))
            for at in range(old_partitions)
            if groups
        }
        behind = {at: offset for at, offset in first.items() if offset < ends[at]}
        if not behind:
            return 0
        letters = [
            _letter(topic.name, message, _home_of_key(message, partitions))
            for message in read_records(self._settings, topic.name, behind)
        ]
        deliver(self._settings, letters)
        for group in groups:
            self._groups.set_offsets(group, topic.name, {at: ends[at] for at in behind})
        return len(letters)

    def _live(self, topic: str) -> dict[Place, Message]:
        live: dict[Place, Message] = {}
        for message in read_records(self._settings, topic):
            place = cast(int, message.partition()), message.key() or b""
            if message.value() is None:
                live.pop(place, None)
            else:
                live[place] = message
        return live

    def _verify(self, topic: str, starts: Mapping[int, int], letters: Iterable[Letter]) -> None:
        wanted = {(letter.partition, letter.key): letter.value for letter in letters}
        found = {
            (message.partition(), message.key()): message.value()
            for message in read_records(self._settings, topic, starts)
        }
        if found != wanted:
            raise CopyError(
                f"{self._settings.topic(topic)}: {len(wanted)} records were copied, {len(found)} are"
                " there or differ; nothing was cut off: does a service still run?"
            )

    def _cut_off(self, topic: str, ends: Mapping[int, int]) -> None:
        name = self._settings.topic(topic)
        below = [TopicPartition(name, number, end) for number, end in ends.items() if end]
        deadline = time.monotonic() + CONFIGURED_SECONDS
        while True:
            answers = self._admin.delete_records(below, request_timeout=ANSWER_SECONDS)
            try:
                for answer in answers.values():
                    answer.result()
            except KafkaException as error:
                # The broker says that it has the new configuration before its log obeys it.
                passing = error.args[0].code() == KafkaError.POLICY_VIOLATION
                if not passing or time.monotonic() > deadline:
                    raise
                time.sleep(CONFIGURED_POLL_SECONDS)
            else:
                return

    def _configure(self, topic: TopicFile, config: Mapping[str, str]) -> None:
        """As the file says, but for these."""
        wanted = {name: topic.config.get(name, "") for name in KEEPS_EVERYTHING}
        wanted |= config
        entries = [
            ConfigEntry(
                name,
                value or None,
                incremental_operation=AlterConfigOpType.SET if value else AlterConfigOpType.DELETE,
            )
            for name, value in wanted.items()
        ]
        resource = ConfigResource(
            ResourceType.TOPIC, self._settings.topic(topic.name), incremental_configs=entries
        )
        answers = self._admin.incremental_alter_configs([resource], request_timeout=ANSWER_SECONDS)
        answers[resource].result()


def _home_of_key(message: Message, partitions: int) -> int:
    key = message.key()
    return cast(int, message.partition()) if key is None else partition_of(key, partitions)


def _letter(topic: str, message: Message, partition: int) -> Letter:
    return Letter(
        topic,
        message.key(),
        message.value(),
        cast(Headers, message.headers() or []),
        partition,
        message.timestamp()[1],
    )
