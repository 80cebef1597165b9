"""Whether the gateway lives, and whether it can do its work: asked often, so answered from memory."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from aiohttp import web

from imagelane.contracts.topics import CALLBACKS

FRESH_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 5.0
BROKER_SECONDS: Final = 2.0


class Broker(Protocol):
    """What readiness asks; `EventProducer` is one."""

    async def can_reach(self, topic: str, timeout_seconds: float) -> bool:
        """Whether the broker answers in time and has the topic."""
        ...


class Health:
    """`/livez` and `/readyz` for whoever balances requests, and a part of the health port's probes.

    The broker is asked at most every two seconds.
    """

    name: Final = "broker"

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._one_at_a_time = asyncio.Lock()
        self._reachable = False
        self._was_reachable = False
        self._asked_at = -FRESH_SECONDS

    async def run(self) -> None:
        """Keeps the answers fresh until it is cancelled."""
        while True:
            await self._ask()
            await asyncio.sleep(LOOK_SECONDS)

    async def live(self, _request: web.Request) -> web.Response:
        """200 while the event loop turns."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """200 while the broker answers and has the topic of the hints, else 503."""
        await self._ask()
        if not (reason := self.is_ready()):
            return web.json_response({"status": "ok"})
        return web.json_response({"status": reason}, status=503)

    def lives(self) -> str:
        """A loop that answers lives."""
        return ""

    def is_ready(self) -> str:
        """Why nothing could be put into Kafka, as of a moment ago."""
        return "" if self._reachable else f"no broker with topic {CALLBACKS}"

    def has_started(self) -> str:
        """What was never there since the start."""
        return "" if self._was_reachable else self.is_ready()

    async def _ask(self) -> None:
        time = asyncio.get_running_loop().time
        async with self._one_at_a_time:
            if time() - self._asked_at >= FRESH_SECONDS:
                self._reachable = await self._broker.can_reach(CALLBACKS, BROKER_SECONDS)
                self._was_reachable |= self._reachable
                self._asked_at = time()
