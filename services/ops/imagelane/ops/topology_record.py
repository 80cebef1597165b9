"""Writing the topology record: once for a deployment, and never over somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET, structs

from imagelane.contracts.codec import encode, headers_of
from imagelane.contracts.events import TopologyRecorded
from imagelane.contracts.parts import RecordedTopic
from imagelane.contracts.topics import TOPOLOGY
from imagelane.core.topology import Expected, FoundTopic
from imagelane.ops.delivery import Letter, deliver
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.topology import RECORD_KEY

SOURCE: Final = "/services/ops"


def record_of(expected: Expected, found: Mapping[str, FoundTopic]) -> TopologyRecorded:
    """What is to be recorded of these topics."""
    return TopologyRecorded(
        deployment_id=expected.deployment_id,
        strict_partitions=expected.strict_partitions,
        spread_partitions=expected.spread_partitions,
        partitioner="murmur2",
        topics=[
            RecordedTopic(name=name, partitions=topic.partitions, topic_id=topic.topic_id)
            for name, topic in sorted(found.items())
            if name != TOPOLOGY
        ],
        growing_to=UNSET,
        occurred_at=datetime.now(UTC),
    )


def says_the_same(record: TopologyRecorded | None, other: TopologyRecorded) -> bool:
    """Whether nothing but the time differs."""
    return record is not None and structs.replace(record, occurred_at=other.occurred_at) == other


def write_record(settings: KafkaSettings, record: TopologyRecorded) -> None:
    """Writes it, and waits until Kafka has it. Raises `DeliveryError`."""
    letter = Letter(TOPOLOGY, RECORD_KEY, encode(record), headers_of(record, source=SOURCE), 0)
    deliver(settings, [letter])
