"""The real downloader, from a request to its outcome; only Kafka and the name servers are played."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import UNSET
from tests.hostile.servers import Names, Server
from tests.hostile.tripwire import Tripwire

from imagelane.contracts.codec import UnreadableRecordError, encode
from imagelane.contracts.events import ImageDownloaded, ImageRequested
from imagelane.core.fairness import FairQueue
from imagelane.core.image_formats import DEFAULT_FORMATS
from imagelane.downloader.core.backlog import Backlog, BacklogBounds
from imagelane.downloader.fetch import OriginalFetcher
from imagelane.downloader.pipeline import Pipeline
from imagelane.downloader.settings import DownloaderSettings
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings
from imagelane.platform.http_guards import AddressInfo, OpenSocket, open_socket
from imagelane.platform.records import Record
from imagelane.platform.stores import DirectoryStore
from imagelane.platform.work import WorkItem

JOB: Final = "a" * 32
MAX_BYTES: Final = 1_000_000
PATIENCE_SECONDS: Final = 30.0
INSIDE: Final = re.compile(r"errno|ssl|dns|getaddrinfo|socket|tripwire|refused by peer|Traceback")
# As in production, a tenth or less of the times.
QUICK: Final[dict[str, Any]] = {
    "allowed_networks": (ip_network("127.0.0.1/32"),),
    "lookup_seconds": 0.3,
    "connect_seconds": 0.4,
    "read_seconds": 0.5,
    "total_seconds": 1.5,
    "pace_seconds": 0.3,
}


class Requests:
    """Hands out requests as a `WorkConsumer` does, fair to every customer, and keeps what comes of them."""

    def __init__(self) -> None:
        self.line: FairQueue[WorkItem] = FairQueue()
        self.more = asyncio.Event()
        self.outcomes: dict[tuple[str, int], ImageDownloaded] = {}
        self.ended_at: dict[tuple[str, int], float] = {}
        self.buried: list[UnreadableRecordError] = []
        self.under_way = 0

    def request(self, events: Iterable[ImageRequested]) -> None:
        for at, event in enumerate(events):
            key = event.customer_id.encode()
            self.line.put(key, WorkItem(Record("requested", 0, at, key, encode(event), [], 0)))
        self.more.set()

    async def take(self) -> WorkItem:
        while not self.line.has_turn:
            self.more.clear()
            await self.more.wait()
        return self.line.take()

    def hold(self, item: WorkItem) -> None:
        self.line.hold(item.record.key)

    def resume(self, item: WorkItem) -> None:
        self.line.resume(item.record.key)
        self.more.set()

    def tell(self, item: WorkItem, event: ImageDownloaded) -> None:
        _ = item
        key = event.customer_id, event.index
        assert key not in self.outcomes, "two outcomes of one image"
        self.outcomes[key] = event
        self.ended_at[key] = asyncio.get_running_loop().time()

    def bury(self, item: WorkItem, error: UnreadableRecordError) -> None:
        _ = item
        self.buried.append(error)


def requested(url: str, index: int = 0, customer: str = "acme", **fields: Any) -> ImageRequested:
    return ImageRequested(
        customer_id=customer,
        job_id=JOB,
        index=index,
        url=url,
        recipe="default",
        destination="default",
        occurred_at=datetime.now(UTC),
        **fields,
    )


def code_of(event: ImageDownloaded) -> str:
    return "ok" if event.failure is UNSET else event.failure.code


def check_public(outcome: ImageDownloaded) -> None:
    """Nothing of the inside is told."""
    if outcome.failure is not UNSET:
        assert not INSIDE.search(outcome.failure.reason), outcome.failure.reason
        assert "127.0.0." not in outcome.failure.reason


@dataclass
class Downloader:
    """A downloader under way."""

    requests: Requests
    client: GuardedClient
    names: Names
    wire: Tripwire
    stored: Path
    running: asyncio.Task[None]
    pipeline: Pipeline
    opened: list[str] = field(default_factory=list)

    async def outcome(self, url: str) -> ImageDownloaded:
        """What becomes of one URL."""
        index = len(self.requests.outcomes)
        self.requests.request([requested(url, index)])
        await eventually(lambda: ("acme", index) in self.requests.outcomes, self.running)
        return self.requests.outcomes["acme", index]

    def codes(self) -> Counter[str]:
        return Counter(map(code_of, self.requests.outcomes.values()))

    def files(self) -> list[Path]:
        return [path for path in self.stored.rglob("*") if path.is_file()]


async def eventually(
    holds: Callable[[], object],
    running: asyncio.Task[None] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    deadline = time.monotonic() + patience_seconds
    while not holds():
        if running is not None and running.done():
            running.result()
        if time.monotonic() > deadline:
            pytest.fail(f"did not come about within {patience_seconds} s")
        await asyncio.sleep(0.003)


def _made(folder: Path) -> DirectoryStore:
    folder.mkdir(parents=True, exist_ok=True)
    return DirectoryStore(folder)


@asynccontextmanager
async def downloading(
    wire: Tripwire,
    store: Path,
    *servers: Server,
    names: Names | None = None,
    opens: OpenSocket = open_socket,
    http: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Downloader]:
    """The downloader, which may reach these servers and nothing else."""
    wire.own |= {server.place for server in servers}
    guard = {
        "allowed_ports": {80, 443, 8080, 8443} | {server.port for server in servers},
        **QUICK,
        **(http or {}),
    }
    own = DownloaderSettings(**({"retries": 1} | settings))
    opened: list[str] = []

    def remembering(info: AddressInfo) -> socket.socket:
        opened.append(str(info[4][0]))
        return opens(info)

    known = names or Names()
    requests = Requests()
    async with GuardedClient(
        HttpGuardSettings(**guard), lookup=known, open_socket=remembering
    ) as client:
        fetcher = OriginalFetcher(
            client,
            _made(store),
            max_image_bytes=MAX_BYTES,
            formats=frozenset(DEFAULT_FORMATS),
        )
        backlog = Backlog(BacklogBounds(images=10**9, bytes=10**15))
        pipeline = Pipeline(requests, requests, fetcher, client.policy, backlog, own)
        running = asyncio.create_task(pipeline.run())
        try:
            yield Downloader(requests, client, known, wire, store, running, pipeline, opened)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
