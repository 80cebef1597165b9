"""The gateway's routes on a real loopback server, with a Kafka that does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from imagelane.contracts.events import CallHinted
from imagelane.gateway.app import listening, routes
from imagelane.gateway.health import Health
from imagelane.gateway.public_files import PublicFiles, PublicFolder
from imagelane.gateway.receiver import MAX_BODY_BYTES, WebhookReceiver
from imagelane.gateway.settings import GatewaySettings
from imagelane.platform.producer import DeliveryError

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
OLD_SECRET = "whsec_b2xkb2xkb2xkb2xkb2xkb2xk"


@dataclass
class FakeKafka:
    """Keeps what it is sent. `mood`: takes it, refuses it, never answers, or is beyond repair."""

    mood: str = "takes"
    reachable: bool = True
    asked: int = 0
    sent: list[CallHinted] = field(default_factory=list)

    def send(self, event: CallHinted) -> asyncio.Future[None]:
        if self.mood == "broken":
            raise DeliveryError("fatal")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.mood == "takes":
            self.sent.append(event)
            future.set_result(None)
        elif self.mood == "refuses":
            future.set_exception(DeliveryError("timed out"))
        return future

    async def can_reach(self, topic: str, timeout_seconds: float) -> bool:
        assert topic == "callbacks"
        assert timeout_seconds > 0
        self.asked += 1
        return self.reachable


@dataclass
class Gateway:
    """A running gateway and a client that speaks to it."""

    url: str
    session: aiohttp.ClientSession
    kafka: FakeKafka
    root: Path
    failed: asyncio.Future[None]


Start = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @asynccontextmanager
    async def started(
        *, secrets: tuple[str, ...] = (SECRET, OLD_SECRET), prefix: str = ""
    ) -> AsyncIterator[Gateway]:
        settings = GatewaySettings(port=0, body_seconds=0.3, kafka_seconds=0.2)
        kafka = FakeKafka()
        receiver = WebhookReceiver([Webhook(one) for one in secrets], kafka, settings)
        files = PublicFiles({"default": PublicFolder(tmp_path, prefix)})
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(routes(Health(kafka), receiver, files))
        async with (
            listening(app, settings) as url,
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            yield Gateway(url, session, kafka, tmp_path, receiver.failed)

    return started
