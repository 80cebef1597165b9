"""Questions about jobs, as statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imagelane.contracts.parts import Failure
from imagelane.tracking import tables as t
from imagelane.tracking.cursors import Long, cursor_after, place_of
from imagelane.tracking.image_sets import CALL_FAILED
from imagelane.tracking.image_views import instant, moment, reason_of
from imagelane.tracking.steps import Kind
from imagelane.tracking.views import (
    Counts,
    FailureCount,
    JobState,
    JobStatus,
    NoticeStatus,
    Page,
)

Row = Mapping[str, Any]
CANCELS: Final = (Kind.JOB_CANCEL_ASKED, Kind.CUSTOMER_CANCEL_ASKED)
DELETES: Final = (Kind.JOB_DELETE_ASKED, Kind.CUSTOMER_DELETE_ASKED)
_IN_STATE: Final[dict[JobState, ColumnElement[bool]]] = {
    "accepted": t.is_open & t.jobs.c.sealed_at.is_(None),
    "running": t.is_open & t.jobs.c.sealed_at.is_not(None),
    "finished": t.jobs.c.finished_at.is_not(None),
    "refused": t.was_refused,
}


async def rows_of(connection: AsyncConnection, statement: Select[Any]) -> list[dict[str, Any]]:
    """All rows of the answer, by the names of their columns."""
    return [row._asdict() for row in await connection.execute(statement)]


def of_customer(customer_id: str | None) -> list[ColumnElement[bool]]:
    """The condition on jobs of one customer, or none."""
    return [] if customer_id is None else [t.jobs.c.customer_id == customer_id]


async def find_job(
    connection: AsyncConnection, job_id: str, customer_id: str | None
) -> dict[str, Any] | None:
    """The job's row, if it is the customer's."""
    found = await rows_of(
        connection,
        select(t.jobs).where(t.jobs.c.job_id == job_id, *of_customer(customer_id)),
    )
    return found[0] if found else None


async def page_of_jobs(
    connection: AsyncConnection,
    customer_id: str | None,
    status: JobState | None,
    cursor: str | None,
    limit: int,
) -> Page[JobStatus]:
    """Newest first. Raises `CursorError`."""
    order = tuple_(t.jobs.c.first_at, t.jobs.c.number)
    statement = select(t.jobs).where(*of_customer(customer_id))
    if status is not None:
        statement = statement.where(_IN_STATE[status])
    if cursor is not None:
        statement = statement.where(order < place_of(cursor, tuple[Long, Long]))
    rows = await rows_of(
        connection,
        statement.order_by(t.jobs.c.first_at.desc(), t.jobs.c.number.desc()).limit(limit + 1),
    )
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    return Page(
        items=await job_statuses(connection, rows[:limit]),
        next_cursor=cursor_after((last["first_at"], last["number"])) if last else None,
    )


async def job_statuses(connection: AsyncConnection, rows: Sequence[Row]) -> list[JobStatus]:
    """The rows of jobs as they are shown, with what people have decided about them."""
    commands = await commands_about(connection, rows, (*CANCELS, *DELETES))
    return [_status(row, commands) for row in rows]


async def commands_about(
    connection: AsyncConnection, jobs: Sequence[Row], kinds: Iterable[Kind]
) -> list[dict[str, Any]]:
    """Commands that name the jobs, or all jobs of their customers; those of later jobs among them."""
    if not jobs:
        return []
    c = t.commands.c
    job_ids = [job["job_id"] for job in jobs]
    return await rows_of(
        connection,
        select(t.commands).where(
            c.customer_id.in_({job["customer_id"] for job in jobs}),
            or_(c.job_id.in_(job_ids), c.job_id.is_(None)),
            c.kind.in_(list(kinds)),
        ),
    )


def concerns(command: Row, job: Row) -> bool:
    """Whether the command is about the job: by its name, or handed in by its customer before."""
    if command["customer_id"] != job["customer_id"]:
        return False
    if command["job_id"] is not None:
        return bool(command["job_id"] == job["job_id"])
    handed_in = job["handed_in_at"] or job["accepted_at"] or job["first_at"]
    return bool(handed_in <= command["at"])


def _status(row: Row, commands: Sequence[Row]) -> JobStatus:
    asked = [one for one in commands if concerns(one, row)]
    refused = row["refused_code"] is not None
    return JobStatus(
        job_id=row["job_id"],
        customer_id=row["customer_id"],
        status=_state(row),
        recipe=row["recipe"],
        destination=row["destination"],
        images=row["images"],
        counts=Counts(
            **{name: row[name] for name in Counts.__struct_fields__},
        ),
        change=row["change"],
        **{name: moment(row[name]) for name in _TIMES},
        refusal=_refusal(row) if refused else None,
        idempotency_key=row["idempotency_key"],
        notify_url=row["notify_url"],
        cut_short_by=row["cut_short_by"],
        cancel_asked_at=_first(asked, CANCELS),
        delete_asked_at=_first(asked, DELETES),
        notice=_notice(row),
    )


_TIMES: Final = (
    "accepted_at",
    "handed_in_at",
    "sealed_at",
    "finished_at",
    "refused_at",
    "deadline",
)


def _state(row: Row) -> JobState:
    if row["finished_at"] is not None:
        return "finished"
    if row["refused_at"] is not None:
        return "refused"
    return "accepted" if row["sealed_at"] is None else "running"


def _refusal(row: Row) -> Failure:
    return Failure(code=row["refused_code"], reason=row["refused_reason"])


def _notice(row: Row) -> NoticeStatus | None:
    if row["notice_state"] is None:
        return None
    return NoticeStatus(
        state=row["notice_state"],
        attempts=row["notice_attempts"],
        at=instant(row["notice_at"]),
        last_result=row["notice_result"],
        next_at=moment(row["notice_next_at"]),
    )


def _first(commands: Iterable[Row], kinds: Iterable[Kind]) -> Any:
    wanted = set(kinds)
    return moment(min((one["at"] for one in commands if one["kind"] in wanted), default=None))


async def failure_counts(
    connection: AsyncConnection, customer_id: str | None, job_id: str | None
) -> list[FailureCount]:
    """By code, most first. What met no failure on the road has failed in its call."""
    wanted = of_customer(customer_id) + ([] if job_id is None else [t.jobs.c.job_id == job_id])
    met = (
        select(t.failures.c.code, func.sum(t.failures.c.failed).label("images"))
        .join(t.jobs, and_(t.jobs.c.number == t.failures.c.number, *wanted))
        .group_by(t.failures.c.code)
    )
    counts = {row["code"]: int(row["images"]) for row in await rows_of(connection, met)}
    failed = await connection.scalar(select(func.sum(t.jobs.c.failed)).where(*wanted))
    counts[CALL_FAILED] = int(failed or 0) - sum(counts.values())
    return [
        FailureCount(code=code, reason=reason_of(code, None) or code, images=images)
        for code, images in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        if images > 0
    ]


async def changed_jobs(
    connection: AsyncConnection,
    since: int,
    customer_id: str | None,
    job_id: str | None,
    limit: int,
) -> list[JobStatus]:
    """What has changed after `since`, in that order."""
    wanted = of_customer(customer_id) + ([] if job_id is None else [t.jobs.c.job_id == job_id])
    statement = select(t.jobs).where(t.jobs.c.change > since, *wanted)
    rows = await rows_of(connection, statement.order_by(t.jobs.c.change).limit(limit))
    return await job_statuses(connection, rows)


async def latest_change(connection: AsyncConnection) -> int:
    """The highest there is."""
    return int(await connection.scalar(select(func.max(t.jobs.c.change))) or 0)


async def pending_images(connection: AsyncConnection, customer_id: str) -> int:
    """Of the customer's jobs that are not over. A job that is not sealed counts what is requested so far."""
    c = t.jobs.c
    without_outcome = func.coalesce(c.images, c.requested) - c.delivered - c.failed - c.cancelled
    statement = select(func.sum(without_outcome)).where(t.is_open, *of_customer(customer_id))
    return int(await connection.scalar(statement) or 0)
