"""What the owner thread of a group's client and the event loop tell each other, without a lock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Message

from imagelane.core.offsets import OffsetTracker

RECORD_OVERHEAD_BYTES: Final = 1_400  # measured, with seven headers and a short key


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """How much a consumer holds, and for how long."""

    max_records: int = 50_000
    """Records read ahead and not yet taken."""
    max_bytes: int = 96 * 1024 * 1024
    """The same in bytes, each record's own overhead in memory included."""
    max_span: int = 50_000
    """Records of one partition from the lowest unfinished one on; reading slows down beyond."""
    max_record_seconds: float = 600.0
    """From `take`, or the last `note`, to `done`; the consumer fails beyond."""


@dataclass(slots=True, eq=False)
class Tenure:
    """One partition during one assignment to this member.

    Each field has one writer: `in_work` is the event loop's, everything else the owner thread's.
    """

    topic: str = ""
    """The logical name, without the deployment's prefix."""
    partition: int = -1
    tracker: OffsetTracker = field(default_factory=OffsetTracker)
    """Only the owner thread may look at it."""
    committed: tuple[int, str] | None = None
    """The offset and metadata that the broker has confirmed."""
    in_work: int = 0
    leaving: bool = False
    """Nothing more of it is handed out."""
    revoked: bool = False
    """It is another member's: what is still in work no longer counts."""


Arrival = tuple[Tenure, int, Message, str | None]
"""A record on its way to `take`: its tenure, offset, message and note."""
Mark = tuple[Tenure, int, str | None]
"""A note for an offset, or None: it is done."""


class Backlog:
    """What was read ahead and not yet taken. One thread adds, another removes."""

    def __init__(self) -> None:
        self._added_records = self._added_bytes = 0
        self._removed_records = self._removed_bytes = 0

    @property
    def records(self) -> int:
        """Records held now."""
        return self._added_records - self._removed_records

    @property
    def bytes(self) -> int:
        """Memory held now, about."""
        return self._added_bytes - self._removed_bytes

    def add(self, message: Message) -> None:
        """Only in the owner thread."""
        self._added_records += 1
        self._added_bytes += len(message) + RECORD_OVERHEAD_BYTES

    def remove(self, message: Message) -> None:
        """Only in the event loop's thread."""
        self._removed_records += 1
        self._removed_bytes += len(message) + RECORD_OVERHEAD_BYTES
