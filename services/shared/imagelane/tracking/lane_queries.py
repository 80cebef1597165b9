"""Questions about lanes, calls and dead letters, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from pyroaring import BitMap
from sqlalchemy import exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imagelane.contracts.fields import CustomerId, Index, Text255
from imagelane.contracts.topics import dead_letter_topic
from imagelane.tracking import tables as t
from imagelane.tracking.cursors import Long, cursor_after, place_of
from imagelane.tracking.image_views import instant, moment
from imagelane.tracking.job_queries import rows_of
from imagelane.tracking.views import (
    CallOfJob,
    CallState,
    CallStatus,
    DeadLetter,
    Freshness,
    LaneState,
    LaneStatus,
    Page,
)

Row = Mapping[str, Any]
CallKey = tuple[str, int]
TRACKER: Final = "tracker"


async def page_of_lanes(
    connection: AsyncConnection,
    customer_id: str | None,
    state: LaneState | None,
    cursor: str | None,
    limit: int,
) -> Page[LaneStatus]:
    """By customer. Raises `CursorError`."""
    statement = select(t.lanes)
    if customer_id is not None:
        statement = statement.where(t.lanes.c.customer_id == customer_id)
    if state is not None:
        statement = statement.where(t.lanes.c.state == state)
    if cursor is not None:
        statement = statement.where(t.lanes.c.customer_id > place_of(cursor, CustomerId))
    statement = statement.order_by(t.lanes.c.customer_id).limit(limit + 1)
    rows = await rows_of(connection, statement)
    shown = rows[:limit]
    return Page(
        items=await _lanes(connection, shown),
        next_cursor=cursor_after(shown[-1]["customer_id"]) if len(rows) > limit else None,
    )


async def _lanes(connection: AsyncConnection, rows: Sequence[Row]) -> list[LaneStatus]:
    busy = [(row["customer_id"], row["last_seq"]) for row in rows if row["state"] != "idle"]
    calls = {(one.customer_id, one.seq): one for one in await _calls(connection, busy)}
    waiting = (
        select(
            t.jobs.c.customer_id,
            func.sum(t.jobs.c.ready).label("ready"),
            func.count().label("open_jobs"),
        )
        .where(t.is_open, t.jobs.c.customer_id.in_([row["customer_id"] for row in rows]))
        .group_by(t.jobs.c.customer_id)
    )
    by_customer = {row["customer_id"]: row for row in await rows_of(connection, waiting)}
    return [
        _lane(
            row,
            by_customer.get(row["customer_id"], {"ready": 0, "open_jobs": 0}),
            calls.get((row["customer_id"], row["last_seq"])) if row["state"] != "idle" else None,
        )
        for row in rows
    ]


def _lane(row: Row, waiting: Row, call: CallStatus | None) -> LaneStatus:
    return LaneStatus(
        customer_id=row["customer_id"],
        state=row["state"],
        last_seq=row["last_seq"],
        ready=max(0, int(waiting["ready"]) - row["planned"]),
        open_jobs=waiting["open_jobs"],
        changed_at=moment(row["changed_at"]),
        call=call,
        hold_reason=row["hold_reason"],
        held_since=moment(row["held_since"]),
        usual_seconds=row["usual_seconds"],
        usual_images=row["usual_images"],
        overdue_since=moment(row["overdue_since"]),
    )


async def page_of_calls(
    connection: AsyncConnection, customer_id: str, cursor: str | None, limit: int
) -> Page[CallStatus]:
    """Newest first. Raises `CursorError`."""
    statement = select(t.calls.c.seq).where(t.calls.c.customer_id == customer_id)
    if cursor is not None:
        statement = statement.where(t.calls.c.seq < place_of(cursor, Index))
    found = await connection.scalars(statement.order_by(t.calls.c.seq.desc()).limit(limit + 1))
    seqs = list(found)
    calls = await _calls(connection, [(customer_id, seq) for seq in seqs[:limit]])
    return Page(
        items=sorted(calls, key=lambda call: -call.seq),
        next_cursor=cursor_after(seqs[limit - 1]) if len(seqs) > limit else None,
    )


async def find_call(connection: AsyncConnection, customer_id: str, seq: int) -> CallStatus | None:
    """One call, or None."""
    found = await _calls(connection, [(customer_id, seq)])
    return found[0] if found else None


async def _calls(connection: AsyncConnection, keys: Sequence[CallKey]) -> list[CallStatus]:
    if not keys:
        return []
    lanes = select(t.lanes.c.customer_id, t.lanes.c.state, t.lanes.c.last_seq).where(
        t.lanes.c.customer_id.in_({customer_id for customer_id, _ in keys})
    )
    lane_of = {row["customer_id"]: row for row in await rows_of(connection, lanes)}
    c, i = t.calls.c, t.call_images.c
    images = await rows_of(
        connection,
        select(t.call_images, t.jobs.c.job_id)
        .join(t.jobs, t.jobs.c.number == i.number)
        .where(tuple_(i.customer_id, i.seq).in_(keys))
        .order_by(i.customer_id, i.seq, t.jobs.c.first_at),
    )
    by_call = {key: list(rows) for key, rows in groupby(images, key=_key)}
    calls = await rows_of(connection, select(t.calls).where(tuple_(c.customer_id, c.seq).in_(keys)))
    return [
        _call(row, lane_of.get(row["customer_id"]), by_call.get(_key(row), ())) for row in calls
    ]


def _key(row: Row) -> CallKey:
    return row["customer_id"], row["seq"]


def _call(row: Row, lane: Row | None, images: Iterable[Row]) -> CallStatus:
    jobs = [_job_of_call(one) for one in images]
    told = row["images"] if row["images"] is not None else row["planned"]
    return CallStatus(
        customer_id=row["customer_id"],
        seq=row["seq"],
        status=_state(row, lane),
        images=sum(job.images for job in jobs) if told is None else told,
        jobs=jobs,
        call_id=row["call_id"] or row["log_call_id"],
        reference=row["reference"],
        attempts=row["attempts"],
        ambiguous=row["ambiguous"],
        requested_at=moment(row["requested_at"]),
        planned_at=moment(row["planned_at"]),
        first_attempt_at=moment(row["first_attempt_at"]),
        started_at=moment(row["started_at"] or row["active_since"]),
        ended_at=moment(row["ended_at"]),
        hold_reason=row["hold_reason"],
        decision=row["decision"],
        decided_by=row["decided_by"],
    )


def _state(row: Row, lane: Row | None) -> CallState:
    """What the dispatcher answered; before that, what its log says of the lane."""
    if row["status"] is not None:
        status: CallState = row["status"]
        return status
    if lane is None or lane["last_seq"] < row["seq"]:
        return "requested"
    if lane["last_seq"] == row["seq"] and lane["state"] != "idle":
        state: CallState = lane["state"]
        return state
    return "ended"


def _job_of_call(row: Row) -> CallOfJob:
    sets = {
        name: BitMap.deserialize(row[name])
        for name in ("asked", "planned", "delivered", "failed", "returned")
    }
    told = sets["delivered"] | sets["failed"] | sets["returned"]
    return CallOfJob(
        job_id=row["job_id"],
        images=len(sets["planned"] or told or sets["asked"]),
        delivered=len(sets["delivered"]),
        failed=len(sets["failed"]),
        returned=len(sets["returned"]),
    )


async def page_of_dead_letters(
    connection: AsyncConnection, cursor: str | None, limit: int
) -> Page[DeadLetter]:
    """Newest first. Raises `CursorError`. What another service put aside too is not shown as the tracker's."""
    table, other = t.dead_letters, t.dead_letters.alias()
    order = (table.c.at, table.c.topic, table.c.partition, table.c.offset, table.c.service)
    known = exists().where(
        other.c.topic == table.c.topic,
        other.c.partition == table.c.partition,
        other.c.offset == table.c.offset,
        other.c.service != TRACKER,
    )
    statement = select(table).where((table.c.service != TRACKER) | ~known)
    if cursor is not None:
        place = place_of(cursor, tuple[Long, Text255, Index, Long, Text255])
        statement = statement.where(tuple_(*order) < place)
    statement = statement.order_by(*(column.desc() for column in order)).limit(limit + 1)
    rows = await rows_of(connection, statement)
    names = [column.name for column in order]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        items=[_dead_letter(row) for row in rows[:limit]],
        next_cursor=cursor_after([last[name] for name in names]) if last else None,
    )


def _dead_letter(row: Row) -> DeadLetter:
    put_aside = row["dead_letter_offset"] is not None
    return DeadLetter(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        service=row["service"],
        reason=row["reason"],
        at=instant(row["at"]),
        key=row["record_key"],
        size_bytes=row["size_bytes"],
        dead_letter_topic=dead_letter_topic(row["topic"]) if put_aside else None,
        dead_letter_offset=row["dead_letter_offset"],
    )


async def freshness(connection: AsyncConnection) -> Freshness:
    """How far the tracker has read."""
    left = t.positions.c.end_offset - t.positions.c.next_offset
    behind = await connection.scalar(select(func.sum(left)).where(left > 0))
    written_at = await connection.scalar(select(t.tracker.c.written_at))
    return Freshness(behind=int(behind or 0), written_at=moment(written_at or None))
