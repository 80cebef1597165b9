"""Everything that can be looked at: jobs, images, lanes, calls, and what could not be read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from imagelane.contracts.fields import FailureCode, Text255
from imagelane.core.api_keys import Caller
from imagelane.gateway.answers import (
    job_answer,
    json_answer,
    lane_answer,
    submitted_status,
)
from imagelane.gateway.core.recent import Recent
from imagelane.gateway.parameters import from_query
from imagelane.gateway.problems import invalid, not_found
from imagelane.gateway.signing import Signing
from imagelane.gateway.standstill import Standstill
from imagelane.gateway.status import Status
from imagelane.tracking.cursors import CursorError
from imagelane.tracking.views import ImageState, JobState, JobStatus, LaneState

LAST_CALLS: Final = 20

Cursor = Annotated[str, Meta(min_length=1, max_length=500)]
Limit = Annotated[int, Meta(ge=1, le=1_000)]

_is_job_id: Final = re.compile(r"[a-z2-7]{32}").fullmatch
_is_image_id: Final = re.compile(r"(?P<job>[a-z2-7]{32}):(?P<index>0|[1-9][0-9]{0,9})").fullmatch


class Paging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list."""

    cursor: Cursor | None = None
    limit: Limit = 100


class JobsWanted(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs. `customer_id` is for operators."""

    status: JobState | UnsetType = UNSET
    customer_id: Text255 | None = None


class ImagesWanted(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which images of a job."""

    status: ImageState | UnsetType = UNSET
    code: FailureCode | None = None
    text: Text255 | None = None


class LanesWanted(Paging, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lanes."""

    state: LaneState | UnsetType = UNSET


class Looking:
    """Answers from the tracker's database. What is another customer's is not there."""

    def __init__(
        self, status: Status, recent: Recent, signing: Signing, standstill: Standstill
    ) -> None:
        self._status = status
        self._recent = recent
        self._signing = signing
        self._standstill = standstill
        self._time = asyncio.get_running_loop().time

    async def jobs(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/jobs`."""
        wanted = from_query(request.query, JobsWanted)
        customer_id = caller.customer_id
        if wanted.customer_id is not None:
            if customer_id not in (None, wanted.customer_id):
                raise invalid("customer_id", "only an operator may choose")
            customer_id = wanted.customer_id
        queries = await self._status.queries()
        with _cursor_errors():
            page = await queries.jobs(
                customer_id=customer_id,
                status=wanted.status or None,
                cursor=wanted.cursor,
                limit=wanted.limit,
            )
        return json_answer(page)

    async def job(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/jobs/{job_id}`."""
        job = await self.find_job(request, caller)
        if job.change == 0:
            return json_answer(job_answer(job, []))
        queries = await self._status.queries()
        failures = await queries.failures(customer_id=caller.customer_id, job_id=job.job_id)
        return json_answer(job_answer(job, failures))

    async def job_trail(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/jobs/{job_id}/trail`."""
        job_id = job_id_in(request)
        queries = await self._status.queries()
        steps = await queries.job_trail(job_id, customer_id=caller.customer_id)
        if steps is None:
            raise not_found("job")
        return json_answer({"items": steps})

    async def find_job(self, request: web.Request, caller: Caller) -> JobStatus:
        """The job that the path names, also one that was handed in a moment ago. Raises `Problem` 404."""
        job_id = job_id_in(request)
        queries = await self._status.queries()
        job = await queries.job(job_id, customer_id=caller.customer_id)
        if job is not None:
            return job
        recent = self._recent.find(job_id, caller.customer_id, self._time())
        if recent is None:
            raise not_found("job")
        return submitted_status(recent)

    async def images(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/jobs/{job_id}/images`."""
        job_id = job_id_in(request)
        wanted = from_query(request.query, ImagesWanted)
        queries = await self._status.queries()
        with _cursor_errors():
            page = await queries.images(
                job_id,
                customer_id=caller.customer_id,
                status=wanted.status or None,
                code=wanted.code,
                text=wanted.text,
                cursor=wanted.cursor,
                limit=wanted.limit,
            )
        if page is None:
            raise not_found("job")
        return json_answer(replace(page, items=self._signing.statuses(page.items)))

    async def image(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/images/{image_id}`: what happened to it, and when."""
        found = _is_image_id(request.match_info["image_id"])
        if found is None:
            raise not_found("image")
        queries = await self._status.queries()
        trail = await queries.image(
            found["job"], int(found["index"]), customer_id=caller.customer_id
        )
        if trail is None:
            raise not_found("image")
        return json_answer(replace(trail, image=self._signing.status(trail.image)))

    async def lanes(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/lanes`."""
        wanted = from_query(request.query, LanesWanted)
        queries = await self._status.queries()
        with _cursor_errors():
            page = await queries.lanes(
                customer_id=caller.customer_id,
                state=wanted.state or None,
                cursor=wanted.cursor,
                limit=wanted.limit,
            )
        seen = [self._standstill.seen(lane, caller) for lane in page.items]
        return json_answer(replace(page, items=seen))

    async def lane(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/lanes/{customer_id}`."""
        customer_id = _lane_of(request, caller)
        queries = await self._status.queries()
        lane = await queries.lane(customer_id)
        if lane is None:
            raise not_found("lane")
        calls = await queries.calls(customer_id, limit=LAST_CALLS)
        return json_answer(lane_answer(self._standstill.seen(lane, caller), calls.items))

    async def calls(self, request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/lanes/{customer_id}/calls`."""
        customer_id = _lane_of(request, caller)
        wanted = from_query(request.query, Paging)
        queries = await self._status.queries()
        if await queries.lane(customer_id) is None:
            raise not_found("lane")
        with _cursor_errors():
            page = await queries.calls(customer_id, cursor=wanted.cursor, limit=wanted.limit)
        return json_answer(page)

    async def failures(self, _request: web.Request, caller: Caller) -> web.Response:
        """`GET /v1/failures`: by code, of the customer or of everybody."""
        queries = await self._status.queries()
        return json_answer({"items": await queries.failures(customer_id=caller.customer_id)})

    async def dead_letters(self, request: web.Request, _caller: Caller) -> web.Response:
        """`GET /v1/dead-letters`."""
        wanted = from_query(request.query, Paging)
        queries = await self._status.queries()
        with _cursor_errors():
            page = await queries.dead_letters(cursor=wanted.cursor, limit=wanted.limit)
        return json_answer(page)

    async def freshness(self, _request: web.Request, _caller: Caller) -> web.Response:
        """`GET /v1/freshness`: how far behind all of these answers are."""
        queries = await self._status.queries()
        return json_answer(await queries.freshness())


def job_id_in(request: web.Request) -> str:
    """The path's job id. Raises `Problem` 404 for what can be none."""
    job_id = request.match_info["job_id"]
    if not _is_job_id(job_id):
        raise not_found("job")
    return job_id


def _lane_of(request: web.Request, caller: Caller) -> str:
    customer_id = request.match_info["customer_id"]
    if caller.customer_id not in (None, customer_id):
        raise not_found("lane")
    return customer_id


@contextmanager
def _cursor_errors() -> Iterator[None]:
    try:
        yield
    except CursorError as error:
        raise invalid("cursor", "it is none that this list has given") from error
