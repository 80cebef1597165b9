"""A web server on loopback that serves what a test tells it to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

JPEG = b"\xff\xd8\xff\xe0" + bytes(2_000)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ImageServer:
    """Serves JPEGs under every path without a handler; counts requests, and those under way."""

    url: str = ""
    handlers: dict[str, Handler] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0
    delay_seconds: float = 0.0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(self.delay_seconds)
            handler = self.handlers.get(request.path)
            return await handler(request) if handler else web.Response(body=JPEG)
        finally:
            self.under_way -= 1


@pytest.fixture
async def image_server() -> AsyncIterator[Callable[[], Awaitable[ImageServer]]]:
    running: list[TestServer] = []

    async def start() -> ImageServer:
        server = ImageServer()
        app = web.Application()
        app.router.add_get("/{path:.*}", server.handle)
        running.append(TestServer(app))
        await running[-1].start_server()
        server.url = str(running[-1].make_url("")).rstrip("/")
        return server

    yield start
    for one in running:
        await one.close()
