"""Whether the gateway lives, and whether it can do its work: asked often, so answered from memory."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from aiohttp import web

from imagelane.contracts.topics import CALLBACKS

FRESH_SECONDS: Final = 2.0
BROKER_SECONDS: Final = 2.0


class Broker(Protocol):
    """What readiness asks; `EventProducer` is one."""

    async def can_reach(self, topic: str, timeout_seconds: float) -> bool:
        """Whether the broker answers in time and has the topic."""
        ...


class Health:
    """`/livez` and `/readyz`. The broker is asked at most every two seconds."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._one_at_a_time = asyncio.Lock()
        self._reachable = False
        self._asked_at = -FRESH_SECONDS

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the event loop turns."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while the broker answers and has the topic of the hints, else 503."""
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            if loop.time() - self._asked_at >= FRESH_SECONDS:
                self._reachable = await self._broker.can_reach(CALLBACKS, BROKER_SECONDS)
                self._asked_at = loop.time()
        if self._reachable:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": f"no broker with topic {CALLBACKS}"}, status=503)
