"""Builds the stand-in and runs it; the only place that does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from msgspec.structs import replace

from imagelane.standin import journal as journals
from imagelane.standin.api import Api
from imagelane.standin.contract import CAPABILITIES
from imagelane.standin.fetching import Fetcher
from imagelane.standin.journal import Journal
from imagelane.standin.options import Options
from imagelane.standin.registry import Registry
from imagelane.standin.running import Runner, World, restore
from imagelane.standin.webhooks import WebhookSender


@dataclass(frozen=True, slots=True)
class StandIn:
    """A running stand-in: the API's base URL, the control of its faults, and its unexpected end."""

    url: str
    control_url: str
    failed: asyncio.Future[None]


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[StandIn]:
    """A stand-in that serves inside the block. Batches in its journal that had not finished go on.

    Raises `OSError` when the port is taken, `BrokenJournalError` when the journal cannot be read.
    """
    journal = Journal(options.journal)
    registry = Registry(CAPABILITIES[options.level])
    unfinished = restore(journals.read(options.journal), registry)
    world = World(journal, registry, replace(options.faults))
    journal.write("started", level=options.level, fetch=options.fetch.mode)
    try:
        async with (
            Fetcher(options.fetch) as fetcher,
            WebhookSender(options.webhook_secret, journal) as webhooks,
        ):
            runner = Runner(world, duration=options.duration, fetcher=fetcher, webhooks=webhooks)
            for batch, new in unfinished:
                runner.start(batch, new)
            api = Api(world, runner, token=options.token, max_urls=options.max_urls)
            try:
                async with _served(api.application(), options) as origin:
                    yield StandIn(f"{origin}/v1", f"{origin}/control/faults", world.failed)
            finally:
                await runner.stop()
    finally:
        world.failed.cancel()
        journal.close()


@asynccontextmanager
async def _served(app: web.Application, options: Options) -> AsyncIterator[str]:
    server = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await server.setup()
    try:
        site = web.TCPSite(server, options.host, options.port)
        await site.start()
        _, port = server.addresses[0][:2]
        yield f"http://{options.host}:{port}"
    finally:
        await server.cleanup()
