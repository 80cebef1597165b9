"""How the process leaves when it must not go on: at once, with a code of its own for each reason."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import NoReturn

import structlog

from imagelane.platform import logs


class Exit(IntEnum):
    """Exit codes, beside 0 (asked to stop), 1 (unexpected error) and 2 (wrong settings)."""

    POISON_FLOOD = 65
    """Too many of the last minute's records cannot be read."""
    SLEPT = 70
    """The process was paused for longer than half its session: others may own its lanes."""
    OUT_OF_ORDER = 71
    """Faust skipped records, and they did not come."""
    NO_PROGRESS = 72
    """Records wait and none is taken, or the group was not joined for too long."""
    NOT_DURABLE = 73
    """Kafka did not take a write or an event."""
    FOREIGN_RECORDS = 74
    """An input does not have the records that were committed: it was made anew, perhaps."""
    TABLE_LOST = 75
    """The table is gone though offsets are committed; they were set back, and the next start reads all."""
    WRONG_PARTITIONS = 76
    """A topic does not have as many partitions as the settings say: customers may be in two places."""


def leave(code: int, reason: str, error: BaseException | None = None, **fields: object) -> NoReturn:
    """Ends the process without any clean-up, so that nothing more is written or acknowledged.

    A fresh process reads from the committed offsets.
    """
    structlog.get_logger("imagelane.batcher").critical(
        "batcher.left", code=int(code), reason=reason, exc_info=error, **fields
    )
    logs.drain()
    os._exit(code)
