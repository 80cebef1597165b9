"""A Kafka record as the services see it, whatever client brought it."""

from __future__ import annotations

from dataclasses import dataclass

from imagelane.contracts.codec import Headers


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `topic` is the logical name, without the deployment's prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
