"""A running stand-in, the images it is told to read, and a receiver of its webhooks: all real, on loopback."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.waiting import eventually

from imagelane.standin import journal
from imagelane.standin.app import running
from imagelane.standin.fetching import FetchMode, FetchOptions
from imagelane.standin.options import Options
from imagelane.standin.running import Duration

JPEG = b"\xff\xd8\xff\xe0 the rest does not matter"


@dataclass
class Client:
    """Speaks to one stand-in, and reads its journal."""

    url: str
    control_url: str
    journal_path: Path
    session: aiohttp.ClientSession
    failed: asyncio.Future[None]

    async def post(
        self, body: object, *, key: str | None = None, token: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = io.BytesIO(json.dumps(body).encode())
        async with self.session.post(f"{self.url}/batches", data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}/batches{path}", params=query) as answer:
            return answer.status, await answer.json()

    async def order(self, **faults: object) -> None:
        async with self.session.post(self.control_url, json=faults) as answer:
            assert answer.status == 200, await answer.text()

    async def ended(self, batch_id: str) -> Any:
        async with asyncio.timeout(10):
            while True:
                _, batch = await self.get(f"/{batch_id}")
                if batch["status"] != "active":
                    return batch
                await asyncio.sleep(0.01)

    def entries(self, kind: str) -> list[journal.Entry]:
        return [one for one in journal.read(self.journal_path) if one["kind"] == kind]


Start = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    return Options(
        journal=tmp_path / "journal.jsonl",
        duration=Duration(0.02, 0.0),
        fetch=FetchOptions(mode="none", patience_seconds=0.5),
    )


@pytest.fixture
def start(quick: Options) -> Start:
    @asynccontextmanager
    async def started(**changes: Any) -> AsyncIterator[Client]:
        options = replace(quick, **changes)
        async with running(options) as one, aiohttp.ClientSession() as session:
            yield Client(one.url, one.control_url, options.journal, session, one.failed)

    return started


@dataclass
class Images:
    """Serves whatever a test puts into `bodies`; everything else is a 404."""

    origin: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    away_times: int = 0

    @staticmethod
    def options(mode: FetchMode = "get") -> FetchOptions:
        return FetchOptions(mode=mode, patience_seconds=0.5)

    def url(self, name: str, body: bytes = JPEG) -> str:
        self.bodies[name] = body
        return f"{self.origin}/{name}"

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        if self.away_times:
            self.away_times -= 1
            return web.Response(status=503)
        body = self.bodies.get(request.path[1:])
        if body is None:
            return web.Response(status=404)
        return web.Response(body=body, content_type="image/jpeg")


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    images = Images()
    app = web.Application()
    app.router.add_get("/{name}", images.handle)
    async with TestServer(app) as server:
        images.origin = f"http://127.0.0.1:{server.port}"
        yield images


@dataclass
class Receiver:
    """Takes webhooks; answers with the statuses in `answers` first, then with 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    taken: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.taken.append((await request.read(), dict(request.headers)))
        return web.Response(status=self.answers.pop(0) if self.answers else 204)

    async def wait_for(self, count: int) -> None:
        await eventually(lambda: len(self.taken) >= count)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    async with TestServer(app) as server:
        receiver.url = f"http://127.0.0.1:{server.port}/hook"
        yield receiver
