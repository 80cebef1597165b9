"""What the core wants done: writes to the table, and events to send once the writes are durable."""

from __future__ import annotations

from dataclasses import dataclass, field

from imagelane.contracts.events import Event


@dataclass(frozen=True, slots=True)
class Write:
    """One record of the table; without a value it is removed."""

    key: bytes
    value: bytes | None


@dataclass(slots=True)
class Decisions:
    """In this order: the writes; when all are durable, the events; when those are, `Lanes.confirm`."""

    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    absorbed: list[bytes] = field(default_factory=list)
    """Keys that say nothing any more, once the writes are durable."""
    announced: list[tuple[str, str]] = field(default_factory=list)
    """Customer and job of every `JobFinished` among the events."""
