"""What a Kafka client complains of: said, but not twenty times a second while a broker is away."""

from __future__ import annotations

import time
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException

QUIET_SECONDS: Final = 10.0


class Log(Protocol):
    """Whatever takes a warning; a structlog logger does."""

    def warning(self, event: str, **fields: object) -> object:
        """One line."""
        ...


class Troubles:
    """For a client's `error_cb`: logs at most one complaint in ten seconds."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._quiet_until = 0.0

    def __call__(self, error: KafkaError) -> None:
        """Raises `KafkaException` for what the client cannot go on from, into the thread that polls."""
        if error.fatal():
            raise KafkaException(error)
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            self._log.warning("kafka.trouble", error=error.str())
