"""What the gateway counts of requests and webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from standardwebhooks import Webhook
from tests.unit.gateway.conftest import OLD_SECRET, SECRET, FakeKafka

from imagelane.gateway.metrics import counted
from imagelane.gateway.receiver import WebhookReceiver
from imagelane.gateway.settings import GatewaySettings

EVENT = {
    "type": "batch.finished",
    "timestamp": "2026-11-21T12:00:00Z",
    "data": {"id": "b-1", "customer": "acme", "status": "completed", "reference": "v1-r"},
}


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application(middlewares=[counted])
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        yield session
    await runner.cleanup()


def counted_so_far(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"imagelane_gateway_{name}", labels) or 0.0


async def answer(request: web.Request) -> web.Response:
    match request.match_info["how"]:
        case "well":
            return web.Response(status=204)
        case "elsewhere":
            raise web.HTTPFound("/")
        case "away":
            return web.Response(status=404)
        case _:
            raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/things/well", "/things/{how}", "2xx"),
        ("/things/elsewhere", "/things/{how}", "3xx"),
        ("/things/away", "/things/{how}", "4xx"),
        ("/things/broken", "/things/{how}", "5xx"),
        ("/nothing/here", "none", "4xx"),
    ],
)
@pytest.mark.filterwarnings("ignore")
async def test_requests_are_counted_by_template_and_class(
    path: str, route: str, status: str
) -> None:
    before = counted_so_far("requests_total", route=route, status=status)
    timed = counted_so_far("request_seconds_count", route=route)
    async with serving(web.get("/things/{how}", answer)) as session:
        await session.get(path, allow_redirects=False)
    assert counted_so_far("requests_total", route=route, status=status) - before == 1
    assert counted_so_far("request_seconds_count", route=route) - timed == 1


def message(secret: str, body: bytes) -> dict[str, str]:
    at = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg-1", at, body.decode()),
    }


@pytest.mark.parametrize(
    ("verdict", "mood", "signed_with", "body"),
    [
        ("taken", "takes", SECRET, json.dumps(EVENT).encode()),
        ("not_taken", "refuses", SECRET, json.dumps(EVENT).encode()),
        ("not_taken", "broken", SECRET, json.dumps(EVENT).encode()),
        ("forged", "takes", OLD_SECRET, json.dumps(EVENT).encode()),
        ("unfit", "takes", SECRET, b"{}"),
    ],
)
async def test_webhooks_are_counted_by_what_became_of_them(
    verdict: str, mood: str, signed_with: str, body: bytes
) -> None:
    await posted(verdict, mood, [Webhook(SECRET)], message(signed_with, body), body)


async def test_a_webhook_without_a_secret_to_check_it_is_counted_too() -> None:
    body = json.dumps(EVENT).encode()
    await posted("unconfigured", "takes", [], message(SECRET, body), body)


async def posted(
    verdict: str, mood: str, secrets: list[Webhook], headers: dict[str, str], body: bytes
) -> None:
    receiver = WebhookReceiver(secrets, FakeKafka(mood=mood), GatewaySettings.model_construct())
    before = counted_so_far("webhooks_total", verdict=verdict)
    async with serving(web.post("/hook", receiver.receive)) as session:
        await session.post("/hook", headers=headers, data=body)
    assert counted_so_far("webhooks_total", verdict=verdict) - before == 1
    if mood == "broken":
        assert receiver.failed.exception() is not None
    else:
        receiver.failed.cancel()
