"""What a group has committed for partitions that have just come, read with patience."""

from __future__ import annotations

import threading
import time
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from imagelane.platform.groups import passes

READ_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.5


def read_commits(
    consumer: Consumer, partitions: list[TopicPartition], closing: threading.Event
) -> list[TopicPartition]:
    """The committed offsets and their metadata; tried again for half a minute, as far as it may help.

    Raises `KafkaException`. Gives up pausing between two tries once `closing` is set.
    """
    log = structlog.get_logger("imagelane.consumer")
    deadline = time.monotonic() + READ_SECONDS
    while True:
        try:
            return _without_errors(consumer.committed(partitions, timeout=READ_SECONDS / 3))
        except KafkaException as error:
            if time.monotonic() > deadline or not passes(error.args[0]):
                raise
            log.warning("commits.not_read", error=error.args[0].str())
        closing.wait(PAUSE_SECONDS)


def _without_errors(partitions: list[TopicPartition]) -> list[TopicPartition]:
    for one in partitions:
        if one.error is not None:
            raise KafkaException(one.error)
    return partitions
