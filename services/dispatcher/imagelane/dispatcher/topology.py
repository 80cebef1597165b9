"""Whether the lanes' topics are what they were made as: if not, customers may be in two places."""

from __future__ import annotations

from collections.abc import Mapping

from imagelane.contracts.topics import BATCHES, CALLBACKS, CALLS, COMPLETED
from imagelane.platform.settings import KafkaSettings


def mismatch(settings: KafkaSettings, partitions: Mapping[str, int]) -> str:
    """What is wrong with the strict topics, or an empty string if they are as they should be.

    `partitions` has the broker's topics, each with its number of partitions.
    """
    for topic in map(settings.topic, (BATCHES, CALLBACKS, CALLS, COMPLETED)):
        count = partitions.get(topic, 0)
        if count != settings.strict_partitions:
            return (
                f"the topic {topic} has {count} partitions where"
                f" IMAGELANE_KAFKA__STRICT_PARTITIONS says {settings.strict_partitions}"
            )
    return ""
