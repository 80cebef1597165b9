"""Questions about images, as statements. Which images are asked for is decided on bitmaps, before any row is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from pyroaring import BitMap
from sqlalchemy import Column, ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imagelane.contracts.fields import Index
from imagelane.tracking import tables as t
from imagelane.tracking.cursors import cursor_after, place_of
from imagelane.tracking.database import reading
from imagelane.tracking.image_sets import CALL_FAILED, ImageSets, chunks_of, page_of
from imagelane.tracking.image_views import image_result, image_status
from imagelane.tracking.job_queries import commands_about, concerns, find_job, rows_of
from imagelane.tracking.steps import Kind
from imagelane.tracking.views import ImageResult, ImageState, ImageStatus, Page

Row = Mapping[str, Any]
Steps = Mapping[int, Sequence[Row]]
OF_JOBS: Final = (
    Kind.JOB_CANCEL_ASKED,
    Kind.JOB_DELETE_ASKED,
    Kind.CUSTOMER_CANCEL_ASKED,
    Kind.CUSTOMER_DELETE_ASKED,
)


async def sets_of_job(connection: AsyncConnection, job: Row) -> ImageSets:
    """Where every image of the job stands."""
    sets = await rows_of(connection, select(t.job_sets).where(t.job_sets.c.number == job["number"]))
    open_call = (
        select(t.call_images.c.planned)
        .join(t.lanes, t.lanes.c.customer_id == t.call_images.c.customer_id)
        .where(
            t.call_images.c.number == job["number"],
            t.lanes.c.customer_id == job["customer_id"],
            t.lanes.c.state != "idle",
            t.lanes.c.last_seq == t.call_images.c.seq,
        )
    )
    planned = await connection.scalar(open_call)
    return ImageSets.of(sets[0], BitMap.deserialize(planned) if planned else BitMap())


async def page_of_images(
    connection: AsyncConnection,
    job: Row,
    *,
    status: ImageState | None,
    code: str | None,
    text: str | None,
    cursor: str | None,
    limit: int,
) -> Page[ImageStatus]:
    """By index. Raises `CursorError`."""
    after = None if cursor is None else place_of(cursor, Index)
    sets = await sets_of_job(connection, job)
    wanted = sets.all if status is None else sets.by_state[status]
    if code is not None:
        wanted = wanted & await _met(connection, job, sets, code)
    if text:
        indexes = await _with_text(connection, job, wanted, text, after, limit + 1)
    else:
        indexes = page_of(wanted, after, limit + 1)
    shown = indexes[:limit]
    listed, steps = await _rows(connection, job, shown)
    return Page(
        items=[
            image_status(job, one, listed.get(one), steps.get(one, ()), sets.where(one))
            for one in shown
        ],
        next_cursor=cursor_after(shown[-1]) if len(indexes) > limit else None,
    )


async def _met(connection: AsyncConnection, job: Row, sets: ImageSets, code: str) -> BitMap:
    """Images that met the failure and have failed, or will as far as anybody knows."""
    failures = select(t.failures.c.code, t.failures.c.images).where(
        t.failures.c.number == job["number"]
    )
    by_code = {
        row["code"]: BitMap.deserialize(row["images"])
        for row in await rows_of(connection, failures)
    }
    failed = sets.by_state["failed"]
    if code == CALL_FAILED:
        return failed - BitMap.union(BitMap(), *by_code.values())
    return by_code.get(code, BitMap()) & (failed | sets.by_state["processed"])


async def _with_text(
    connection: AsyncConnection,
    job: Row,
    wanted: BitMap,
    text: str,
    after: int | None,
    limit: int,
) -> list[int]:
    i = t.images.c
    text = text.replace("\0", "\ufffd")  # as it is stored
    found = select(i.idx).where(
        i.number == job["number"],
        i.idx > (-1 if after is None else after),
        or_(*(_holds(connection, column, text) for column in (i.url, i.group_name))),
    )
    indexes: list[int] = []
    async with connection.stream_scalars(found.order_by(i.idx)) as stream:
        async for index in stream:
            if index in wanted:
                indexes.append(index)
            if len(indexes) == limit:
                break
    return indexes


def _holds(connection: AsyncConnection, column: Column[str], text: str) -> ColumnElement[bool]:
    """In any case of its letters, which SQLite's LIKE does not look at anyway: that is three times as fast."""
    if connection.dialect.name == "sqlite":
        return column.contains(text, autoescape=True)
    return column.icontains(text, autoescape=True)


async def _rows(
    connection: AsyncConnection, job: Row, indexes: Sequence[int], *kinds: Kind
) -> tuple[dict[int, Row], Steps]:
    """What the list and the events say of these images, which are in ascending order."""
    if not indexes:
        return {}, {}
    listed = await rows_of(connection, _of_images(t.images, job, indexes))
    wanted = _of_images(t.image_steps, job, indexes)
    if kinds:
        wanted = wanted.where(t.image_steps.c.kind.in_(kinds))
    steps = await rows_of(connection, wanted.order_by(t.image_steps.c.idx))
    by_index = {index: list(rows) for index, rows in groupby(steps, key=lambda row: row["idx"])}
    return {row["idx"]: row for row in listed}, by_index


def _of_images(table: Any, job: Row, indexes: Sequence[int]) -> Select[Any]:
    """By the range where that is the same: then a thousand images are one parameter, not a thousand."""
    mine = select(table).where(table.c.number == job["number"])
    if indexes[-1] - indexes[0] + 1 == len(indexes):
        return mine.where(table.c.idx.between(indexes[0], indexes[-1]))
    return mine.where(table.c.idx.in_(list(indexes)))


async def results_of_job(
    engine: AsyncEngine, job_id: str, customer_id: str | None, chunk: int
) -> AsyncIterator[list[ImageResult]]:
    """In chunks. Each is a short read of its own, so that a slow reader holds nothing up."""
    async with reading(engine) as connection:
        job = await find_job(connection, job_id, customer_id)
        if job is None:
            return
        sets = await sets_of_job(connection, job)
    for indexes in chunks_of(sets.all, chunk):
        async with reading(engine) as connection:
            kinds = (Kind.IMAGE_DOWNLOADED, Kind.IMAGE_PROCESSED)
            listed, steps = await _rows(connection, job, indexes, *kinds)
        yield [
            image_result(job, one, listed.get(one), steps.get(one, ()), sets.where(one))
            for one in indexes
        ]


async def image_with_steps(
    connection: AsyncConnection, job: Row, index: int, state: ImageState
) -> tuple[ImageStatus, Sequence[Row]]:
    """The image, and the rows of its own steps."""
    listed, steps = await _rows(connection, job, [index])
    own = steps.get(index, ())
    return image_status(job, index, listed.get(index), own, state), own


async def steps_of_job(connection: AsyncConnection, job: Row) -> list[dict[str, Any]]:
    """The rows of steps of the job and of sets of its images, and the commands about it."""
    steps = await rows_of(
        connection, select(t.job_steps).where(t.job_steps.c.number == job["number"])
    )
    commands = await commands_about(connection, [job], OF_JOBS)
    return steps + [one | {"images": None} for one in commands if concerns(one, job)]


async def calls_of_job(connection: AsyncConnection, job: Row) -> list[dict[str, Any]]:
    """The rows of `call_images` about the job."""
    of_job = t.call_images.c.number == job["number"]
    return await rows_of(connection, select(t.call_images).where(of_job))


async def steps_of_calls(
    connection: AsyncConnection, customer_id: str, seqs: Sequence[int]
) -> list[dict[str, Any]]:
    """The rows of steps of these calls."""
    c = t.call_steps.c
    if not seqs:
        return []
    wanted = select(t.call_steps).where(c.customer_id == customer_id, c.seq.in_(list(seqs)))
    return await rows_of(connection, wanted)
