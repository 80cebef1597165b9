"""The demo of these tests: lists, one with images that fail, and somebody who wants to hear of their end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import ClientSession
from tests.deployment.monitoring.collector import Collector
from tests.deployment.monitoring.prometheus import Prometheus
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import Road
from tests.e2e.test_notices import listening
from tests.e2e.test_probes_and_metrics import until_ok

from imagelane.core.notifying import notify_secret
from imagelane.standin import journal
from imagelane.standin.history import history_of

GOOD: Final = {"acme": 200, "other": 60}
GONE: Final = 10
SEEN_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.5
LOOKED_TWICE: Final = "count(count_over_time(up[1m]) >= 2)"
TOLD: Final = "sum(imagelane_dispatcher_ended_images_total)"


@dataclass(slots=True)
class Watched:
    """A road with Prometheus and the collector that watch it, and what the judge found of its lists."""

    road: Road
    prometheus: Prometheus
    collector: Collector
    images: Images
    since: float = field(default_factory=time.time)
    delivered: int = 0
    failed: int = 0
    calls: int = 0

    async def run_demo(self) -> None:
        """Sends the lists down the road, has the judge's word, and waits until Prometheus knows of their end."""
        services = len(self.road.stack.health_ports)
        await self.until("every service before the first list", f"{LOOKED_TWICE} == {services}")
        master = (self.road.stack.options.data / "secrets" / "notify").read_bytes()
        heard: list[Any] = []
        gone = [f"{self.images.url}/gone-{n}.jpg" for n in range(GONE)]
        async with listening(notify_secret(master, "acme"), heard) as notify_url:
            jobs = [
                await self.road.submit(
                    "acme", urls=[*self.images.urls(GOOD["acme"]), *gone], notify_url=notify_url
                ),
                await self.road.submit("other", urls=self.images.urls(GOOD["other"])),
            ]
            await self.road.finished(*jobs)
            await self.road.until("the notice", lambda: heard)
        outcomes = prove(self.road, *jobs).values()
        self.delivered = sum(len(one.ok) for one in outcomes)
        self.failed = sum(len(one.failed) for one in outcomes)
        self.calls = len(history_of(journal.read(self.road.stack.journal)).calls)
        await self.until("the last images told", f"{TOLD} == {self.delivered}")
        await self.until(
            "the end of the notice", "sum(imagelane_notifier_ended_notices_total) == 1"
        )
        await self.until("an empty lane", "sum(imagelane_batcher_unfinished_jobs) == 0")

    async def until(self, what: str, query: str) -> None:
        """Waits until the query gives anything. Raises `AssertionError` that says what it waited for."""
        deadline = time.monotonic() + SEEN_SECONDS
        while not await self.prometheus.now(query):
            assert time.monotonic() < deadline, f"Prometheus has not seen {what}: {query}"
            await asyncio.sleep(LOOK_SECONDS)


async def until_ready(road: Road) -> None:
    """Waits until every service answers its probes well."""
    async with ClientSession() as session:
        for name in road.stack.health_ports:
            await until_ok(session, road, name)
