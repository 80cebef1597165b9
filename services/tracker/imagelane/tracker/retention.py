"""What is deleted: old jobs, and those that a command names, once they are over.

A job's row goes first, and with it all that can be asked of it; the rows of its images follow in slices,
so that no transaction is long. A mark stays for as long as a topic may still tell of the job.
"""

from __future__ import annotations

from typing import Final

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Engine,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    union,
    update,
)

from imagelane.tracker.ledger import take_turn
from imagelane.tracking import tables as t
from imagelane.tracking.steps import Kind

DAY_MS: Final = 86_400_000
MARK_DAYS: Final = 100
"""Longer than any topic keeps its records (90 days)."""
DROP_MS: Final = 3_600_000
JOBS_AT_A_TIME: Final = 50
IMAGES_AT_A_TIME: Final = 5_000


class Retention:
    """Deletes a little at a time. Belongs to the thread of the ledger."""

    def __init__(self, engine: Engine, *, days: int) -> None:
        self._engine = engine
        self._days = days
        self._dropped_at_ms = 0
        self._log = structlog.get_logger("imagelane.retention")

    def step(self, now_ms: int) -> bool:
        """One short transaction. Returns whether there is more to delete."""
        before_ms = now_ms - self._days * DAY_MS
        with self._engine.begin() as connection:
            take_turn(connection)
            if _clear_images(connection):
                return True
            over = _over(connection, before_ms)
            for number in over:
                _forget(connection, number, now_ms)
            if not over and now_ms - self._dropped_at_ms >= DROP_MS:
                _drop_old(connection, before_ms, now_ms - MARK_DAYS * DAY_MS)
                connection.execute(delete(t.hosts).where(t.hosts.c.holds_until < now_ms))
                self._dropped_at_ms = now_ms
        if over:
            self._log.info("jobs.forgotten", jobs=len(over))
        return bool(over)


def _over(connection: Connection, before_ms: int) -> list[int]:
    """Jobs to forget: too old, or named by a command after which they have ended."""
    c, j = t.commands.c, t.jobs.c
    old = or_(
        j.over_at < before_ms,
        and_(t.never_accepted, j.last_at < before_ms),
    )
    by_name = and_(
        c.kind == Kind.JOB_DELETE_ASKED, c.customer_id == j.customer_id, c.job_id == j.job_id
    )
    by_customer = and_(
        c.kind == Kind.CUSTOMER_DELETE_ASKED,
        c.customer_id == j.customer_id,
        func.coalesce(j.handed_in_at, j.accepted_at, j.first_at) <= c.at,
    )
    wanted = union(
        select(j.number).where(old),
        _named(by_name & ~t.is_open),
        _named(by_customer & ~t.is_open),
    )
    return list(connection.scalars(wanted.limit(JOBS_AT_A_TIME)))


def _named(condition: ColumnElement[bool]) -> Select[tuple[int]]:
    return select(t.jobs.c.number).select_from(t.commands.join(t.jobs, condition))


def _forget(connection: Connection, number: int, now_ms: int) -> None:
    i = t.call_images.c
    keys = [
        (row.customer_id, row.seq)
        for row in connection.execute(select(i.customer_id, i.seq).where(i.number == number))
    ]
    for table in (t.jobs, t.job_sets, t.failures, t.job_steps, t.call_images):
        connection.execute(delete(table).where(table.c.number == number))
    _drop_calls_without_images(connection, keys)
    connection.execute(insert(t.forgotten), {"number": number, "at": now_ms, "cleared": False})


def _drop_calls_without_images(connection: Connection, keys: list[tuple[str, int]]) -> None:
    for begin in range(0, len(keys), IMAGES_AT_A_TIME):
        some = keys[begin : begin + IMAGES_AT_A_TIME]
        for table in (t.calls, t.call_steps):
            of_jobs = exists().where(
                t.call_images.c.customer_id == table.c.customer_id,
                t.call_images.c.seq == table.c.seq,
            )
            key = tuple_(table.c.customer_id, table.c.seq)
            connection.execute(delete(table).where(key.in_(some), ~of_jobs))


def _clear_images(connection: Connection) -> bool:
    """Deletes rows of images of one forgotten job; False if there are none."""
    number = connection.scalar(select(t.forgotten.c.number).where(~t.forgotten.c.cleared).limit(1))
    if number is None:
        return False
    first = connection.scalar(select(func.min(t.images.c.idx)).where(t.images.c.number == number))
    for table in (t.images, t.image_steps):
        these = table.c.number == number
        if first is not None:
            these &= table.c.idx < first + IMAGES_AT_A_TIME
        connection.execute(delete(table).where(these))
    if first is None:
        mark = update(t.forgotten).where(t.forgotten.c.number == number)
        connection.execute(mark.values(cleared=True))
    return True


def _of_deleted_customers(has_jobs: ColumnElement[bool]) -> tuple[Delete, Delete]:
    """What bears the name of a customer whose jobs have all been deleted. The command itself stays: it is the audit."""
    lanes, letters, c = t.lanes.c, t.dead_letters.c, t.commands.c
    is_deletion = c.kind == Kind.CUSTOMER_DELETE_ASKED
    of_lane = exists().where(is_deletion, c.customer_id == lanes.customer_id)
    of_letter = exists().where(is_deletion, c.customer_id == letters.record_key, c.at >= letters.at)
    return (
        delete(t.lanes).where(lanes.state == "idle", of_lane, ~has_jobs),
        delete(t.dead_letters).where(of_letter),
    )


def _drop_old(connection: Connection, before_ms: int, marks_before_ms: int) -> None:
    """What belongs to no job any more, and is old."""
    calls, steps, lanes, marks = t.calls.c, t.call_steps.c, t.lanes.c, t.forgotten.c
    last = func.coalesce(calls.ended_at, calls.planned_at, calls.requested_at)
    images, jobs = t.call_images.c, t.jobs.c
    has_images = exists().where(images.customer_id == calls.customer_id, images.seq == calls.seq)
    has_call = exists().where(calls.customer_id == steps.customer_id, calls.seq == steps.seq)
    has_jobs = exists().where(jobs.customer_id == lanes.customer_id)
    unchanged = func.coalesce(lanes.changed_at, 0) < before_ms
    for statement in (
        *_of_deleted_customers(has_jobs),
        delete(t.calls).where(last < before_ms, ~has_images),
        delete(t.call_steps).where(steps.at < before_ms, ~has_call),
        delete(t.lanes).where(lanes.state == "idle", unchanged, ~has_jobs),
        delete(t.commands).where(t.commands.c.at < before_ms),
        delete(t.dead_letters).where(t.dead_letters.c.at < before_ms),
        delete(t.forgotten).where(marks.cleared, marks.at < marks_before_ms),
    ):
        connection.execute(statement)
