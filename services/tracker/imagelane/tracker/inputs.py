"""The topics that the tracker reads. The files in `schemas/topics` name it as their consumer."""

from __future__ import annotations

from typing import Final

from imagelane.contracts import topics as t

EVENTS: Final = (
    t.JOBS,
    t.REQUESTED,
    t.DOWNLOADED,
    t.PROCESSED,
    t.MISSING,
    t.BATCHES,
    t.CALLS,
    t.COMPLETED,
    t.FINISHED,
    t.COMMANDS,
    t.NOTICES,
    t.HOSTS,
)
"""The others tell nothing of a job: lists before they are one, ticks, hints, keys and the topology."""
DEAD_LETTERS: Final = tuple(
    t.dead_letter_topic(topic)
    for topic in (
        t.URLS,
        t.REQUESTED,
        t.DOWNLOADED,
        t.PROCESSED,
        t.JOBS,
        t.BATCHES,
        t.COMPLETED,
        t.FINISHED,
        t.MISSING,
        t.COMMANDS,
        t.CALLBACKS,
        t.TICKS,
    )
)
INPUTS: Final = EVENTS + DEAD_LETTERS
