"""Reads the partitions that the group gives to this replica; the database says from where, not Kafka."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, TopicPartition

from imagelane.platform.groups import Property, configure_group, consumer_properties
from imagelane.tracker.reader import Ask, At, Reader

SERVICE: Final = "tracker"


class GroupReader(Reader):
    """For a database with several writers. Nothing is committed to Kafka here either.

    A replica that lost a partition may still write what it has read of it: every join is idempotent, and
    the partition's position is no longer its own to write.
    """

    def start(self, ask: Ask) -> None:
        """Joins the group. `ask` is called for each assignment, in `read`, which raises what it raises."""
        self._ask = ask
        configure_group(self._settings, SERVICE)
        self._consumer.subscribe(
            [*self._logical],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )

    def new_partitions(self) -> bool:
        """The group hands them out by itself."""
        return False

    def _properties(self) -> dict[str, Property]:
        return consumer_properties(self._settings, SERVICE)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(self._placed(map(self._at, partitions), self._ask()))
        self._log.info("partitions.assigned", new=len(partitions), now=len(self.positions))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for at in map(self._at, partitions):
            self.positions.pop(at, None)
            self._moved.discard(at)
        consumer.incremental_unassign(partitions)
        self._log.info("partitions.revoked", gone=len(partitions), now=len(self.positions))

    def _at(self, place: TopicPartition) -> At:
        return self._logical[place.topic], place.partition
