"""The deployment's consumer groups: who is in them, what they have read, and setting that anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from imagelane.platform.groups import client_properties
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 10.0


class ConsumerGroups:
    """Asks and sets. Every method raises `KafkaException`."""

    def __init__(self, admin: AdminClient, settings: KafkaSettings) -> None:
        self._admin = admin
        self._settings = settings

    def names(self) -> list[str]:
        """Every group of the deployment, by its name on the broker."""
        listed = self._admin.list_consumer_groups(request_timeout=ANSWER_SECONDS).result()
        for error in listed.errors:
            raise KafkaException(error)  # it is an error, which cannot be raised itself
        ours = self._settings.group("")
        return sorted(one.group_id for one in listed.valid if one.group_id.startswith(ours))

    def of_service(self, service: str) -> list[str]:
        """A service's groups: `imagelane-intake` and `imagelane-intake-orders` are intake's."""
        name = self._settings.group(service)
        return [one for one in self.names() if one == name or one.startswith(f"{name}-")]

    def members(self) -> dict[str, int]:
        """The groups that have members, and how many."""
        names = self.names()
        if not names:
            return {}
        answers = self._admin.describe_consumer_groups(names, request_timeout=ANSWER_SECONDS)
        counts = {name: len(answer.result().members) for name, answer in answers.items()}
        return {name: count for name, count in counts.items() if count}

    def commits(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        """What the group has committed of the topic; partitions without a commit are left out."""
        # Not the admin client's call: librdkafka (2.16) dies in it without a coordinator.
        reader = Consumer({**client_properties(self._settings), "group.id": group})
        try:
            name = self._settings.topic(topic)
            wanted = [TopicPartition(name, number) for number in range(partitions)]
            found = reader.committed(wanted, timeout=ANSWER_SECONDS)
        finally:
            reader.close()
        for one in found:
            if one.error is not None:
                raise KafkaException(one.error)
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def set_offsets(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """The group goes on from there. It must not have members."""
        name = self._settings.topic(topic)
        wanted = [TopicPartition(name, number, offset) for number, offset in offsets.items()]
        request = ConsumerGroupTopicPartitions(group, wanted)
        answers = self._admin.alter_consumer_group_offsets(
            [request], request_timeout=ANSWER_SECONDS
        )
        for one in answers[group].result().topic_partitions:
            if one.error is not None:
                raise KafkaException(one.error)
