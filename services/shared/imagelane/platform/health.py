"""`/livez`, `/readyz`, `/startupz` and `/metrics` of a process, on a port of their own.

Answers come from memory, so they are cheap, and a probe never waits for a broker. They come from the
event loop: where that is stuck, there is none, which Kubernetes counts as a failed probe.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import prometheus_client
import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from imagelane.platform.settings import HealthSettings, SettingsError, variable_of

SHUTDOWN_SECONDS: Final = 0.5


class Part(Protocol):
    """A part of a process that can tell how it is. Each answer is the reason against it, or empty."""

    @property
    def name(self) -> str:
        """By which the answers call it."""
        ...

    def lives(self) -> str:
        """Why the process must be started anew; never because of anything outside it."""
        ...

    def is_ready(self) -> str:
        """Why it cannot do its work now."""
        ...

    def has_started(self) -> str:
        """What of its start is still to come."""
        ...


class Health:
    """The three probes over all parts, and the metrics."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    async def livez(self, _request: web.Request) -> web.Response:
        """200 while the process gets on; 503 with the reasons when it has to be started anew."""
        return _answer({part.name: part.lives() for part in self._parts})

    async def readyz(self, _request: web.Request) -> web.Response:
        """200 while it works or stands by; 503 with the reasons while it does not."""
        return _answer({part.name: part.is_ready() for part in self._parts})

    async def startupz(self, _request: web.Request) -> web.Response:
        """200 once it has found what it needs and joined its groups; 503 with what is to come."""
        return _answer({part.name: part.has_started() for part in self._parts})


async def metrics(request: web.Request) -> web.Response:
    """All metrics of the process, in the format that the scraper prefers."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = encode(prometheus_client.REGISTRY)
    return web.Response(body=body, headers={"Content-Type": content_type})


@asynccontextmanager
async def serving(settings: HealthSettings, *parts: Part) -> AsyncIterator[int]:
    """Answers inside the block, on the port that it gives; with port 0 it does nothing.

    Raises `SettingsError` when nobody can listen there.
    """
    if settings.port == 0:
        yield 0
        return
    # With them each counter has a series more, that nobody reads.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # the client's own lack
    health = Health(parts)
    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", health.livez),
            web.get("/readyz", health.readyz),
            web.get("/startupz", health.startupz),
            web.get("/metrics", metrics),
        ]
    )
    server = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await server.setup()
    try:
        await _listen(server, settings)
        structlog.get_logger("imagelane.health").info(
            "health.served", url=f"http://{settings.host}:{settings.port}"
        )
        yield settings.port
    finally:
        await server.cleanup()


async def _listen(server: web.AppRunner, settings: HealthSettings) -> None:
    try:
        await web.TCPSite(server, settings.host, settings.port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"{variable_of(('health', 'port'))}: port {settings.port} on {settings.host} is"
                " taken; end what uses it, or choose another"
            ) from error
        raise SettingsError(
            f"{variable_of(('health', 'host'))}: nobody can listen on {settings.host}"
            f" port {settings.port}: {error.strerror or error}"
        ) from error


def _answer(reasons: Mapping[str, str]) -> web.Response:
    against = {name: reason for name, reason in reasons.items() if reason}
    if against:
        return web.json_response({"status": "not ok", "reasons": against}, status=503)
    return web.json_response({"status": "ok"})
