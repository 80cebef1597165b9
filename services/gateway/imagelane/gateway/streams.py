"""Server-sent events: a job's or all jobs' progress, as it comes.

An event is the whole status of a job, and its id the job's `change`. So a client that was away hears the
newest of each job, not all that it missed, and a slow one gets fewer events instead of late ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import web

from imagelane.core.api_keys import Caller
from imagelane.gateway.looking import Looking
from imagelane.gateway.problems import BEGUN, Kind, Problem, invalid
from imagelane.gateway.settings import GatewaySettings
from imagelane.gateway.status import Status
from imagelane.tracking.views import JobStatus

LAST_EVENT_ID: Final = "Last-Event-ID"
PING_SECONDS: Final = 15.0
WRITE_SECONDS: Final = 30.0
PAGE_JOBS: Final = 200
MAX_CHANGE_DIGITS: Final = 18
RETRY_MS: Final = 2_000
BUSY_SECONDS: Final = 10
HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
OVER: Final = frozenset({"finished", "refused"})


class _Latest:
    """The highest change there is, looked up once for all streams."""

    def __init__(self, status: Status, seconds: float) -> None:
        self._status = status
        self._seconds = seconds
        self._time = asyncio.get_running_loop().time
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._change = 0

    async def change(self) -> int:
        """As of at most `seconds` ago."""
        async with self._asking:
            if self._time() - self._asked_at >= self._seconds:
                queries = await self._status.queries()
                self._change = await queries.latest_change()
                self._asked_at = self._time()
            return self._change


class Streams:
    """A bounded number of streams, each of which looks for itself and ends with `close`."""

    def __init__(self, settings: GatewaySettings, looking: Looking, status: Status) -> None:
        self._settings = settings
        self._looking = looking
        self._status = status
        self._latest = _Latest(status, settings.stream_seconds / 2)
        self._open = 0
        self._closing = asyncio.Event()

    async def close(self) -> None:
        """Ends every stream; their clients come again, here or to another gateway."""
        self._closing.set()

    async def job(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """`GET /v1/jobs/{job_id}/events`. Ends when the job does; a client that has heard that gets 204."""
        since = _since(request)
        job = await self._looking.find_job(request, caller)
        if job.status in OVER and since is not None and since >= job.change:
            return web.Response(status=204)  # EventSource comes again after anything else
        if request.method == "HEAD":
            return web.Response(headers=HEADERS)
        with self._slot():
            stream = await _opened(request)
            if since is None or job.change > since:
                await stream.tell("job", job, job.change)
            stream.since = max(job.change, since or 0)
            while job.status not in OVER and await self._pause(stream):
                for newer in await self._changes(stream, caller, job.job_id):
                    job = newer
                    await stream.tell("job", job, job.change)
            return stream.response

    async def jobs(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """`GET /v1/events`: every job of the customer, or of everybody, from now or the last event on."""
        since = _since(request)
        if since is None:
            since = await self._latest.change()
        if request.method == "HEAD":
            return web.Response(headers=HEADERS)
        with self._slot():
            stream = await _opened(request)
            await stream.tell("begin", {"change": since}, since)
            while await self._pause(stream):
                while changed := await self._changes(stream, caller):
                    for job in changed:
                        await stream.tell("job", job, job.change)
            return stream.response

    async def _changes(
        self, stream: _Stream, caller: Caller, job_id: str | None = None
    ) -> list[JobStatus]:
        """The next jobs that the stream has to tell of; none where nothing at all has changed."""
        latest = await self._latest.change()
        if latest <= stream.looked_at:
            return []
        queries = await self._status.queries()
        changed = await queries.progress(
            since=stream.since, customer_id=caller.customer_id, job_id=job_id, limit=PAGE_JOBS
        )
        if not changed:
            stream.looked_at = latest
        return changed

    async def _pause(self, stream: _Stream) -> bool:
        """Waits for the next look. False when the stream has to end."""
        await stream.ping_if_quiet()
        try:
            async with asyncio.timeout(self._settings.stream_seconds):
                await self._closing.wait()
        except TimeoutError:
            return True
        return False

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._open >= self._settings.streams:
            raise Problem(
                Kind.TOO_MANY,
                f"{self._open:,} streams are open already",
                retry_after_seconds=BUSY_SECONDS,
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1


class _Stream:
    """One response. A client that does not read for 30 s is let go."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response
        self._time = asyncio.get_running_loop().time
        self._told_at = self._time()
        self.since = 0
        self.looked_at = 0

    async def tell(self, event: str, data: object, change: int) -> None:
        self.since = change
        text = b"event: %b\nid: %d\ndata: %b\n\n"
        await self.write(text % (event.encode(), change, msgspec.json.encode(data)))

    async def ping_if_quiet(self) -> None:
        if self._time() - self._told_at >= PING_SECONDS:
            await self.write(b": ping\n\n")

    async def write(self, data: bytes) -> None:
        self._told_at = self._time()
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.response.write(data)
        except TimeoutError as error:
            raise ConnectionResetError("the client does not read") from error


async def _opened(request: web.Request) -> _Stream:
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    request[BEGUN] = True
    stream = _Stream(response)
    await stream.write(b"retry: %d\n\n" % RETRY_MS)
    return stream


def _since(request: web.Request) -> int | None:
    text = request.headers.get(LAST_EVENT_ID)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_CHANGE_DIGITS):
        raise invalid(LAST_EVENT_ID, "it is none that a stream has given")
    return int(text)
