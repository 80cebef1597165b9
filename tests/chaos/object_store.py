"""An object store that a test can make fail: moto's S3 server, behind a front of our own that knows HTTP."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from aiohttp import ClientSession, DummyCookieJar, web
from multidict import CIMultiDict, istr
from yarl import URL

from imagelane.ops.broker.server import HOST, free_port
from imagelane.ops.children import die_with_parent

BUCKET: Final = "results"
MAX_OBJECT_BYTES: Final = 16 * 1024**2
NOT_PASSED_ON: Final = frozenset(
    map(istr, ("connection", "keep-alive", "transfer-encoding", "content-length", "expect"))
)
BUCKETS_OWNER: Final = (
    "AWS4-HMAC-SHA256 Credential=front/20260101/us-east-1/s3/aws4_request, Signature=0"
)
"""moto knows no public buckets and does not look at who it is: so the front makes ours one."""
START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Mood:
    """How the store behaves, to requests that begin now."""

    status: int = 0
    """Answers so, and does nothing; 0 is off."""
    code: str = "SlowDown"
    """What it calls that."""
    every: int = 1
    """It is so to one of so many requests; the others go through."""
    hangs: bool = False
    """Takes requests and answers none of them, until the mood changes; then it answers as it should."""
    damages: Literal["", "puts", "gets"] = ""
    """A byte of what is put, or of what is got, is another one when it arrives."""
    loses_answers: bool = False
    """Does what was asked, and cuts the connection instead of saying so."""
    hidden_seconds: float = 0.0
    """For so long nobody without credentials finds what was put."""


@dataclass(eq=False, slots=True)
class Store:
    """The front. `struck` counts the requests that met a mood, by what was done to them."""

    url: str
    _behind: str
    _http: ClientSession
    _mood: Mood = field(default_factory=Mood)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _put_at: dict[str, float] = field(default_factory=dict)
    _asked: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    _for_everybody: dict[str, str] = field(default_factory=dict)
    """What the server behind needs so that it serves a stranger."""

    def set(self, mood: Mood) -> None:
        """From now on it is like this."""
        self._mood = mood
        self._changed.set()
        self._changed = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request, as the mood will have it."""
        mood, body = self._mood, await request.read()
        self._asked += 1
        if "Authorization" not in request.headers:
            return await self._to_everybody(request, mood)
        if self._asked % mood.every:
            return await self._passed(request, body)
        if mood.hangs:
            self.struck["hung"] += 1
            await self._changed.wait()
        if mood.status:
            self.struck["refused"] += 1
            text = f"<Error><Code>{mood.code}</Code><Message>of the test</Message></Error>"
            return web.Response(status=mood.status, text=text, content_type="application/xml")
        if mood.damages == "puts" and request.method == "PUT" and body:
            self.struck["damaged"] += 1
            body = _damaged(body)
        passed = await self._passed(request, body)
        if mood.damages == "gets" and request.method == "GET" and isinstance(passed.body, bytes):
            self.struck["damaged"] += 1
            passed.body = _damaged(passed.body)
        if mood.loses_answers:
            self.struck["lost"] += 1
            if request.transport is not None:
                request.transport.abort()
        return passed

    async def _to_everybody(self, request: web.Request, mood: Mood) -> web.StreamResponse:
        put_at = self._put_at.get(request.raw_path, 0.0)
        if time.monotonic() < put_at + mood.hidden_seconds:
            self.struck["hidden"] += 1
            return web.Response(status=404)
        return await self._passed(request, b"", **self._for_everybody)

    async def _passed(self, request: web.Request, body: bytes, **more: str) -> web.Response:
        url = URL(self._behind + request.raw_path, encoded=True)
        headers = _passed_on({**request.headers, **more})
        async with self._http.request(
            request.method, url, data=io.BytesIO(body), headers=headers
        ) as answer:
            content = await answer.read()
            if request.method == "PUT":
                self._put_at[request.raw_path.partition("?")[0]] = time.monotonic()
            told = _passed_on(answer.headers)
            if request.method == "HEAD":  # its length is that of a body that does not come
                told["Content-Length"] = answer.headers.get("Content-Length", "0")
            return web.Response(status=answer.status, body=content, headers=told)


def _damaged(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:]


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if _may_pass(name))


def _may_pass(name: str) -> bool:
    return name.lower() not in NOT_PASSED_ON


@asynccontextmanager
async def object_store(port: int, log: Path) -> AsyncIterator[Store]:
    """A store at this port, with the bucket, for the block."""
    behind = f"http://{HOST}:{free_port()}"
    async with _moto(URL(behind).port or 0, log), ClientSession() as http:
        await _made(http, f"{behind}/{BUCKET}")
        async with front(port, behind, {"Authorization": BUCKETS_OWNER}) as store:
            yield store


@asynccontextmanager
async def front(port: int, behind: str, for_everybody: dict[str, str]) -> AsyncIterator[Store]:
    """What can fail, at this port, before an S3 server that is there already."""
    async with ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False) as http:
        store = Store(f"http://{HOST}:{port}", behind, http, _for_everybody=for_everybody)
        app = web.Application(client_max_size=MAX_OBJECT_BYTES)
        app.router.add_route("*", "/{path:.*}", store.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        try:
            yield store
        finally:
            store.set(Mood())
            await runner.cleanup()


@asynccontextmanager
async def _moto(port: int, log: Path) -> AsyncIterator[None]:
    command = (sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port))
    with log.open("wb") as output:
        server = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, preexec_fn=die_with_parent
        )
        try:
            yield
        finally:
            server.kill()
            await server.wait()


async def _made(http: ClientSession, bucket: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            async with http.put(bucket) as answer:
                assert answer.status == 200, await answer.text()
                return
        except OSError:
            assert time.monotonic() < deadline, "moto's server did not start"
            await asyncio.sleep(0.1)
