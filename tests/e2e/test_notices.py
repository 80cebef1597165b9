"""Whoever handed a list in hears of its end, from the command line's own local stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook
from tests.e2e.images import Images
from tests.e2e.road import ON_THE_ROAD, Road

from imagelane.core.notifying import notify_secret

pytestmark = ON_THE_ROAD

CUSTOMER = "heard"


@asynccontextmanager
async def listening(secret: str, heard: list[Any]) -> AsyncIterator[str]:
    """Takes what is signed with the secret."""

    async def take(request: web.Request) -> web.Response:
        heard.append(Webhook(secret).verify(await request.read(), dict(request.headers)))
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post("/hook", take)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (address,) = runner.addresses
    yield f"http://127.0.0.1:{address[1]}/hook"
    await runner.cleanup()


async def test_a_submitter_hears_of_the_jobs_end_and_of_a_refusal(
    road: Road, images: Images
) -> None:
    master = (road.stack.options.data / "secrets" / "notify").read_bytes()
    heard: list[Any] = []
    async with listening(notify_secret(master, CUSTOMER), heard) as url:
        job = await road.submit(CUSTOMER, urls=images.urls(5), notify_url=url)
        await road.submit(CUSTOMER, key="sepia", urls=["u"], recipe="sepia", notify_url=url)
        await road.finished(job)
        await road.until("both notices", lambda: len(heard) >= 2)
    told = {one["type"]: one for one in heard}
    assert told["job.finished.v1"]["job_id"] == road.id_of(job)
    assert told["job.finished.v1"]["delivered"] == 5
    assert told["job.finished.v1"]["idempotency_key"] == job.key
    assert told["job.refused.v1"]["failure"]["code"] == "unknown_recipe"
    assert len(heard) == 2
