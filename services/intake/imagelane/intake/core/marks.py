"""The marks beside an accepted list, and what is due of a job by what the store holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

ROUNDS_UNTIL_ABANDONED: Final = 4
"""Sealing a list that is only slow does no harm: the sweep asks for what is missing of it."""
REMINDED_FOR: Final = 0.1
"""So much of the retention. While the batcher remembers jobs, one that is over is not begun again."""


class Mark(StrEnum):
    """The ends of keys beside a list's own. Each mark holds the event that it stands for."""

    SEALED = "sealed"
    """Every image was requested and `job.sealed` delivered."""
    STOPPED = "stopped"
    """The job is cancelled or deleted: nothing more is to be requested."""
    DELETED = "deleted"
    """Whatever there is of the job goes once it has finished."""
    FINISHED = "finished"
    """The job is over. Without a list: it was deleted, and its key is used up."""


class Due(StrEnum):
    """What is to be done about a job, by the age of what there is of it."""

    NOTHING = "nothing"
    REMIND = "remind"
    """It is sealed and not finished for long: perhaps `job.sealed` was lost, or `job.finished`."""
    SEAL = "seal"
    """It was accepted and never sealed for very long: perhaps nobody works on it any more."""
    FORGET = "forget"
    """It is over, or never was, for longer than the retention."""


def due(
    found: Mapping[Mark | None, datetime],
    now: datetime,
    *,
    retention: timedelta,
    patience: timedelta,
) -> Due:
    """`found`: when which mark was put; under None, the list itself. At least one of them.

    Of a job that was accepted and has not finished, nothing is ever forgotten.
    """
    finished_at = found.get(Mark.FINISHED)
    if finished_at is None and None not in found:
        finished_at = max(found.values())  # a command for a job that does not exist
    if finished_at is not None:
        return Due.FORGET if now - finished_at > retention else Due.NOTHING
    sealed_at = found.get(Mark.SEALED)
    if sealed_at is not None:
        return Due.REMIND if patience < now - sealed_at < retention * REMINDED_FOR else Due.NOTHING
    return Due.SEAL if now - found[None] > patience * ROUNDS_UNTIL_ABANDONED else Due.NOTHING
