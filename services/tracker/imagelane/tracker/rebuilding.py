"""Empties the database, so that the tracker reads all topics from their beginning again.

Topics keep the events of images for days, the database keeps jobs for months. So jobs that began before
the topics' memory stay as they are, unless everything shall go: folding what is still told of them
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    delete,
    exists,
    func,
    select,
    update,
)

from imagelane.contracts.topic_files import TopicFile
from imagelane.tracker.inputs import EVENTS
from imagelane.tracker.ledger import take_turn
from imagelane.tracking import tables as t

MARGIN_MS: Final = 3_600_000
"""The clocks of services and broker differ, but never so much."""
OF_JOBS: Final = (
    t.images,
    t.image_steps,
    t.job_steps,
    t.job_sets,
    t.failures,
    t.call_images,
    t.jobs,
)


def memory_ms(files: Iterable[TopicFile]) -> int:
    """For how long every topic that the tracker reads keeps its events at least."""
    retentions = [
        int(one.config["retention.ms"]) for one in files if one.name in EVENTS and not one.compacted
    ]
    return min(retentions) - MARGIN_MS


def rebuild(engine: Engine, *, keep_before_ms: int | None) -> int:
    """Deletes jobs that began at that time or later, and with None all. Returns how many are kept.

    A running tracker notices within its next turn, and begins anew.
    """
    with engine.begin() as connection:
        take_turn(connection)
        kept = _delete_jobs(connection, keep_before_ms)
        connection.execute(delete(t.lanes))
        connection.execute(delete(t.hosts))
        connection.execute(delete(t.positions))
        connection.execute(update(t.tracker).values(generation=t.tracker.c.generation + 1))
    return kept


def _delete_jobs(connection: Connection, keep_before_ms: int | None) -> int:
    keep = t.jobs.c.first_at < (keep_before_ms or 0)
    kept = connection.scalar(select(func.count()).where(keep)) or 0
    if not kept:
        for table in (*OF_JOBS, t.calls, t.call_steps, t.commands, t.dead_letters):
            connection.execute(delete(table))  # without a condition, which SQLite does at once
        return 0
    numbers = select(t.jobs.c.number).where(keep)
    for table in OF_JOBS:
        connection.execute(delete(table).where(table.c.number.not_in(numbers)))
    for table in (t.calls, t.call_steps):
        connection.execute(delete(table).where(~_has_images(table)))
    for table in (t.commands, t.dead_letters):
        connection.execute(delete(table).where(table.c.at >= keep_before_ms))
    return kept


def _has_images(table: Table) -> ColumnElement[bool]:
    images = t.call_images.c
    return exists().where(images.customer_id == table.c.customer_id, images.seq == table.c.seq)
