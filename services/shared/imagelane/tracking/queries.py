"""What can be asked of the tracker's database. Reads only; every question is a few short statements.

All questions take an optional `customer_id`. With it, what belongs to somebody else is answered exactly
like what does not exist. Lists come in pages: give `next_cursor` back as `cursor` for the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Self

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from imagelane.contracts.codec import Trace
from imagelane.tracking import image_queries as images
from imagelane.tracking.cursors import CursorError
from imagelane.tracking.database import (
    DatabaseError,
    DatabaseSettings,
    reading,
    reading_engine,
    require_file,
    require_revision,
)
from imagelane.tracking.job_queries import (
    changed_jobs,
    failure_counts,
    find_job,
    job_statuses,
    latest_change,
    page_of_jobs,
    pending_images,
)
from imagelane.tracking.lane_queries import (
    find_call,
    freshness,
    page_of_calls,
    page_of_dead_letters,
    page_of_lanes,
)
from imagelane.tracking.server_queries import find_server
from imagelane.tracking.trails import calls_with, concerns_image, in_causal_order, taken
from imagelane.tracking.views import (
    CallStatus,
    DeadLetter,
    FailureCount,
    Freshness,
    ImageResult,
    ImageState,
    ImageStatus,
    ImageTrail,
    JobState,
    JobStatus,
    LaneState,
    LaneStatus,
    Page,
    Step,
)

__all__ = ["CursorError", "Queries"]


class Queries:
    """Belongs to the running event loop.

    Every question raises `DatabaseError` while the database cannot be read, those with a `cursor` `CursorError`.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, settings: DatabaseSettings) -> Self:
        """Raises `DatabaseError` where there is no database, or one of another version."""
        require_file(settings)
        engine = reading_engine(settings)
        try:
            async with reading(engine) as connection:
                await connection.run_sync(require_revision)
        except DatabaseError:
            await engine.dispose()
            raise
        return cls(engine)

    async def close(self) -> None:
        """Ends all connections."""
        await self._engine.dispose()

    async def jobs(
        self,
        *,
        customer_id: str | None = None,
        status: JobState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[JobStatus]:
        """Jobs, newest first."""
        async with reading(self._engine) as connection:
            return await page_of_jobs(connection, customer_id, status, cursor, limit)

    async def job(self, job_id: str, *, customer_id: str | None = None) -> JobStatus | None:
        """One job, or None."""
        async with reading(self._engine) as connection:
            found = await find_job(connection, job_id, customer_id)
            return None if found is None else (await job_statuses(connection, [found]))[0]

    async def job_trail(self, job_id: str, *, customer_id: str | None = None) -> list[Step] | None:
        """What happened to the job as a whole and to sets of its images, oldest first."""
        async with reading(self._engine) as connection:
            job = await find_job(connection, job_id, customer_id)
            if job is None:
                return None
            rows = await images.steps_of_job(connection, job)
        return in_causal_order(map(taken, rows))

    async def images(
        self,
        job_id: str,
        *,
        customer_id: str | None = None,
        status: ImageState | None = None,
        code: str | None = None,
        text: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[ImageStatus] | None:
        """Images of a job by their index; `text` is looked for in URLs and groups. None without the job."""
        async with reading(self._engine) as connection:
            job = await find_job(connection, job_id, customer_id)
            if job is None:
                return None
            return await images.page_of_images(
                connection, job, status=status, code=code, text=text, cursor=cursor, limit=limit
            )

    def results(
        self, job_id: str, *, customer_id: str | None = None, chunk: int = 1_000
    ) -> AsyncIterator[list[ImageResult]]:
        """All images of a job by their index, in chunks; of an unknown job, none: ask `job` first."""
        return images.results_of_job(self._engine, job_id, customer_id, chunk)

    async def image(
        self, job_id: str, index: int, *, customer_id: str | None = None
    ) -> ImageTrail | None:
        """One image with all that happened to it."""
        async with reading(self._engine) as connection:
            job = await find_job(connection, job_id, customer_id)
            if job is None:
                return None
            state = (await images.sets_of_job(connection, job)).state_of(index)
            if state is None:
                return None
            image, own = await images.image_with_steps(connection, job, index, state)
            of_job = await images.steps_of_job(connection, job)
            calls = await images.calls_of_job(connection, job)
            seqs = calls_with(calls, index, "asked", "planned")
            of_calls = await images.steps_of_calls(connection, job["customer_id"], seqs)
            server = None
            if state == "requested":
                server = await find_server(connection, image.url, datetime.now(UTC))
        steps = [*own, *(row for row in of_job if concerns_image(row, index)), *of_calls]
        return ImageTrail(
            image=replace(image, call=max(calls_with(calls, index, "planned"), default=None)),
            customer_id=job["customer_id"],
            trace_id=Trace.of_image(job["customer_id"], job_id, index).trace_id,
            steps=in_causal_order(map(taken, steps)),
            server=server,
        )

    async def lanes(
        self,
        *,
        customer_id: str | None = None,
        state: LaneState | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[LaneStatus]:
        """Lanes, by customer."""
        async with reading(self._engine) as connection:
            return await page_of_lanes(connection, customer_id, state, cursor, limit)

    async def lane(self, customer_id: str) -> LaneStatus | None:
        """One lane; None for a customer of whom nothing was ever heard."""
        async with reading(self._engine) as connection:
            page = await page_of_lanes(connection, customer_id, None, None, 1)
        return page.items[0] if page.items else None

    async def calls(
        self, customer_id: str, *, cursor: str | None = None, limit: int = 20
    ) -> Page[CallStatus]:
        """The customer's calls, newest first."""
        async with reading(self._engine) as connection:
            return await page_of_calls(connection, customer_id, cursor, limit)

    async def call(self, customer_id: str, seq: int) -> CallStatus | None:
        """One call, or None."""
        async with reading(self._engine) as connection:
            return await find_call(connection, customer_id, seq)

    async def failures(
        self, *, customer_id: str | None = None, job_id: str | None = None
    ) -> list[FailureCount]:
        """Recorded failures by code, most first: of a job, a customer, or everybody."""
        async with reading(self._engine) as connection:
            return await failure_counts(connection, customer_id, job_id)

    async def dead_letters(
        self, *, cursor: str | None = None, limit: int = 100
    ) -> Page[DeadLetter]:
        """Records that could not be read, newest first. For operators: they belong to nobody for sure."""
        async with reading(self._engine) as connection:
            return await page_of_dead_letters(connection, cursor, limit)

    async def progress(
        self,
        *,
        since: int,
        customer_id: str | None = None,
        job_id: str | None = None,
        limit: int = 100,
    ) -> list[JobStatus]:
        """Jobs that have changed after `since`, by `change`. For server-sent events: 0 gives everything.

        The last one's `change` is the next `since`. It lives on through a rebuild.
        """
        async with reading(self._engine) as connection:
            return await changed_jobs(connection, since, customer_id, job_id, limit)

    async def latest_change(self) -> int:
        """The highest `change` there is: where a stream of events begins that wants nothing of the past."""
        async with reading(self._engine) as connection:
            return await latest_change(connection)

    async def pending_images(self, customer_id: str) -> int:
        """How many images of the customer's unfinished jobs have no outcome yet."""
        async with reading(self._engine) as connection:
            return await pending_images(connection, customer_id)

    async def freshness(self) -> Freshness:
        """How far the tracker has read."""
        async with reading(self._engine) as connection:
            return await freshness(connection)
