"""The loop with real HTTP servers and a real directory store; only Kafka is played."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import UNSET
from tests.waiting import eventually

from imagelane.contracts.codec import UnreadableRecordError, encode
from imagelane.contracts.events import ImageDownloaded, ImageRequested
from imagelane.core.failures import Code, failure
from imagelane.core.image_formats import DEFAULT_FORMATS
from imagelane.downloader import pipeline as loop
from imagelane.downloader.core import retries
from imagelane.downloader.core.backlog import Backlog, BacklogBounds
from imagelane.downloader.fetch import OriginalFetcher
from imagelane.downloader.pipeline import Pipeline
from imagelane.downloader.settings import DownloaderSettings
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings
from imagelane.platform.records import Record
from imagelane.platform.store import ObjectHeaders, StoreUnavailableError
from imagelane.platform.stores import DirectoryStore
from imagelane.platform.tenures import Tenure
from imagelane.platform.work import WorkItem

JOB = "a" * 32
PATIENCE_SECONDS = 60.0


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


def record(event: ImageRequested, *, key: bytes | None = None) -> WorkItem:
    own = event.customer_id.encode()
    return WorkItem(Record("requested", 0, event.index, key or own, encode(event), [], 0))


class Kafka:
    """Hands out requests in their order, and keeps what comes of them."""

    def __init__(self) -> None:
        self.line: deque[WorkItem] = deque()
        self.more = asyncio.Event()
        self.held: set[bytes | None] = set()
        self.told: list[ImageDownloaded] = []
        self.buried: list[tuple[WorkItem, UnreadableRecordError]] = []
        self.under_way = 0

    def request(self, *items: WorkItem) -> None:
        self.line.extend(items)
        self.more.set()

    async def take(self) -> WorkItem:
        while True:
            for item in self.line:
                if item.record.key not in self.held:
                    self.line.remove(item)
                    return item
            self.more.clear()
            await self.more.wait()

    def hold(self, item: WorkItem) -> None:
        self.held.add(item.record.key)

    def resume(self, item: WorkItem) -> None:
        self.held.discard(item.record.key)
        self.more.set()

    def tell(self, item: WorkItem, event: ImageDownloaded) -> None:
        _ = item
        self.told.append(event)

    def bury(self, item: WorkItem, error: UnreadableRecordError) -> None:
        self.buried.append((item, error))

    def codes(self) -> Counter[str]:
        return Counter(
            "ok" if event.failure is UNSET else event.failure.code for event in self.told
        )


class Bench:
    """A pipeline under way, and what it works with."""

    running: asyncio.Task[None]

    def __init__(self, client: GuardedClient, store: DirectoryStore, **settings: Any) -> None:
        self.kafka = Kafka()
        self.backlog = Backlog(BacklogBounds(images=100, bytes=10**12))
        own = DownloaderSettings(**settings)
        fetcher = OriginalFetcher(
            client, store, max_image_bytes=1_000_000, formats=frozenset(DEFAULT_FORMATS)
        )
        self.pipeline = Pipeline(self.kafka, self.kafka, fetcher, client.policy, self.backlog, own)

    async def outcomes(self, count: int) -> list[ImageDownloaded]:
        await eventually(lambda: len(self.kafka.told) >= count)
        return self.kafka.told


Begin = Callable[..., Any]
StartServer = Callable[[], Awaitable[Any]]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Starts pipelines whose retries come at once."""
    monkeypatch.setattr(retries, "BASE_SECONDS", 0.02)
    monkeypatch.setattr(loop, "STORE_WAITS_SECONDS", (0.01, 0.01))

    @asynccontextmanager
    async def start(
        *, store: DirectoryStore | None = None, http: dict[str, Any] | None = None, **settings: Any
    ) -> AsyncIterator[Bench]:
        guard = {
            "allowed_networks": (ip_network("127.0.0.1/32"),),
            "total_seconds": 0.3,
            **(http or {}),
        }
        async with GuardedClient(HttpGuardSettings(**guard)) as client:
            bench = Bench(client, store or DirectoryStore(tmp_path), **settings)
            bench.running = asyncio.create_task(bench.pipeline.run())
            yield bench
            bench.running.cancel()
            await asyncio.gather(bench.running, return_exceptions=True)

    return start


async def test_an_image_is_stored_and_told(
    begin: Begin, image_server: StartServer, tmp_path: Path
) -> None:
    server = await image_server()
    async with begin() as bench:
        bench.kafka.request(record(requested(f"{server.url}/a.jpg", 7, group="g", position=3)))
        (told,) = await bench.outcomes(1)
    assert told.status == "ok"
    assert (told.customer_id, told.job_id, told.index) == ("acme", JOB, 7)
    assert (told.group, told.position, told.failure) == ("g", 3, UNSET)
    assert told.original.key == f"originals/{JOB}/7"
    assert (tmp_path / told.original.key).stat().st_size == told.original.size_bytes
    assert 0 <= told.seconds < PATIENCE_SECONDS


async def test_every_kind_of_failure_travels_on_with_its_code(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()

    async def missing(_request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    server.handlers |= {"/missing": missing, "/page": page}
    urls = {
        f"{server.url}/a.jpg": "ok",
        f"{server.url}/missing": "not_found",
        f"{server.url}/page": "not_an_image",
        "http://10.0.0.1/": "unreachable",
        "http://kafka/": "url_refused",
        "what is this": "url_refused",
    }
    async with begin() as bench:
        bench.kafka.request(*(record(requested(url, at)) for at, url in enumerate(urls)))
        told = await bench.outcomes(len(urls))
    codes = {one.url: "ok" if one.failure is UNSET else one.failure.code for one in told}
    assert codes == urls
    assert all((one.original is UNSET) == (one.status == "failed") for one in told)


async def test_a_line_that_intake_found_to_be_no_url_fails_with_intake_s_words(
    begin: Begin,
) -> None:
    defect = failure(Code.URL_REFUSED, "line 4 is longer than 2,048 characters")
    async with begin() as bench:
        bench.kafka.request(record(requested("http://example.com/", defect=defect)))
        (told,) = await bench.outcomes(1)
    assert told.failure == defect


async def test_what_cannot_be_read_is_buried_and_the_next_one_is_fetched(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    good = requested(f"{server.url}/a.jpg", 3)
    async with begin() as bench:
        bench.kafka.request(
            WorkItem(Record("requested", 0, 0, b"acme", b"{", [], 0)),
            WorkItem(Record("requested", 0, 1, b"acme", None, [], 0)),
            record(requested("http://example.com/", 2), key=b"other"),
            record(good),
        )
        (told,) = await bench.outcomes(1)
        assert told.index == 3
        assert [item.record.offset for item, _ in bench.kafka.buried] == [0, 1, 2]
        assert "not the customer" in str(bench.kafka.buried[2][1])


async def test_what_may_pass_is_tried_again(begin: Begin, image_server: StartServer) -> None:
    server = await image_server()

    async def second_time_lucky(request: web.Request) -> web.Response:
        if server.requests[request.path] < 2:
            return web.Response(status=503)
        return web.Response(body=b"\xff\xd8\xff")

    server.handlers["/a"] = second_time_lucky
    async with begin() as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        (told,) = await bench.outcomes(1)
    assert told.status == "ok"
    assert server.requests["/a"] == 2


async def test_retries_end(begin: Begin, image_server: StartServer) -> None:
    server = await image_server()

    async def broken(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    server.handlers["/a"] = broken
    async with begin(retries=2) as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        (told,) = await bench.outcomes(1)
    assert told.failure.code == "http_error"
    assert server.requests["/a"] == 3


async def test_what_will_not_pass_is_not_tried_again(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()

    async def gone(_request: web.Request) -> web.Response:
        return web.Response(status=410)

    server.handlers["/a"] = gone
    async with begin() as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        await bench.outcomes(1)
    assert server.requests["/a"] == 1


async def test_retry_after_is_waited_out(begin: Begin, image_server: StartServer) -> None:
    server = await image_server()
    asked_at: list[float] = []

    async def later(_request: web.Request) -> web.Response:
        asked_at.append(asyncio.get_running_loop().time())
        if len(asked_at) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(body=b"\xff\xd8\xff")

    server.handlers["/a"] = later
    async with begin() as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        (told,) = await bench.outcomes(1)
    assert told.status == "ok"
    assert asked_at[1] - asked_at[0] >= 1.0


async def test_one_server_is_asked_for_no_more_than_its_cap_at_a_time(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    server.delay_seconds = 0.01
    async with begin(host_concurrency=4, max_host_concurrency=6) as bench:
        bench.kafka.request(*(record(requested(f"{server.url}/{at}.jpg", at)) for at in range(200)))
        told = await bench.outcomes(200)
    assert {one.status for one in told} == {"ok"}
    assert server.most_under_way <= 6


async def test_a_server_that_stalls_costs_only_its_own_images(
    begin: Begin, image_server: StartServer
) -> None:
    stalling, healthy = await image_server(), await image_server()
    stalling.delay_seconds = 30.0
    async with begin(
        retries=0,
        concurrency=20,
        waiting_images_per_customer=50,
        http={"total_seconds": 60.0, "read_seconds": 60.0},
    ) as bench:
        bench.kafka.request(
            *(record(requested(f"{stalling.url}/{at}", at, "bad")) for at in range(1_000)),
            *(record(requested(f"{healthy.url}/{at}", at, "good")) for at in range(200)),
        )
        await eventually(lambda: bench.kafka.codes()["ok"] == 200)
        assert bench.kafka.codes()["timeout"] == 0
        assert stalling.most_under_way <= 2
        assert len(bench.kafka.line) > 900  # the bad customer is on hold, not in memory


async def test_a_hopeless_server_s_images_fail_together_in_the_end(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    server.delay_seconds = 30.0
    async with begin(
        retries=0, host_patience_seconds=0.5, concurrency=64, http={"total_seconds": 0.05}
    ) as bench:
        bench.kafka.request(*(record(requested(f"{server.url}/{at}", at)) for at in range(500)))
        told = await bench.outcomes(500)
    assert Counter(one.failure.code for one in told) == {"timeout": 500}
    assert sorted(one.index for one in told) == list(range(500))
    assert sum(server.requests.values()) < 50


async def test_nothing_is_fetched_while_the_processor_is_far_behind(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    async with begin() as bench:
        bench.backlog.seen(101)
        bench.pipeline.go_on()
        bench.kafka.request(*(record(requested(f"{server.url}/{at}", at)) for at in range(10)))
        await asyncio.sleep(0.1)
        assert server.requests == {}
        assert len(bench.kafka.line) >= 9
        bench.backlog.seen(100)
        bench.pipeline.go_on()
        assert len(await bench.outcomes(10)) == 10


async def test_nothing_is_taken_while_too_many_outcomes_are_undelivered(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    async with begin() as bench:
        bench.kafka.under_way = loop.MAX_UNDER_WAY
        bench.pipeline.go_on()
        bench.kafka.request(*(record(requested(f"{server.url}/{at}", at)) for at in range(10)))
        await asyncio.sleep(0.05)
        assert server.requests == {}
        bench.kafka.under_way = 0
        bench.pipeline.go_on()
        assert len(await bench.outcomes(10)) == 10


async def test_an_image_of_a_partition_that_left_is_not_fetched(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    tenure = Tenure()
    async with begin(host_concurrency=1, max_host_concurrency=1) as bench:
        server.delay_seconds = 0.1
        leaving = record(requested(f"{server.url}/leaving", 1))
        leaving.tenure = tenure
        bench.kafka.request(
            record(requested(f"{server.url}/first", 0)),
            leaving,
            record(requested(f"{server.url}/last", 2)),
        )
        await eventually(lambda: server.requests["/first"])
        tenure.revoked = True
        told = await bench.outcomes(2)
    assert sorted(one.index for one in told) == [0, 2]
    assert server.requests["/leaving"] == 0


class FailingStore(DirectoryStore):
    """Is not there for a number of times."""

    def __init__(self, root: Path, failures: int) -> None:
        super().__init__(root)
        self.failures = failures

    @asynccontextmanager
    async def writing(self, key: str, headers: ObjectHeaders) -> AsyncIterator[int]:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the volume is gone")
        async with super().writing(key, headers) as descriptor:
            yield descriptor


async def test_a_store_that_comes_back_costs_no_image(
    begin: Begin, image_server: StartServer, tmp_path: Path
) -> None:
    server = await image_server()
    async with begin(store=FailingStore(tmp_path, failures=2)) as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        (told,) = await bench.outcomes(1)
    assert told.status == "ok"


async def test_a_store_that_stays_away_ends_the_process_and_fails_no_image(
    begin: Begin, image_server: StartServer, tmp_path: Path
) -> None:
    server = await image_server()
    async with begin(store=FailingStore(tmp_path, failures=10**9)) as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        with pytest.raises(ExceptionGroup) as ended:
            await bench.running
        assert ended.value.subgroup(StoreUnavailableError)
        assert bench.kafka.told == []


async def test_a_closing_pipeline_takes_nothing_and_finishes_what_is_under_way(
    begin: Begin, image_server: StartServer
) -> None:
    server = await image_server()
    server.delay_seconds = 0.1
    async with begin() as bench:
        bench.kafka.request(record(requested(f"{server.url}/a")))
        await eventually(lambda: server.under_way)
        bench.pipeline.close()
        bench.kafka.request(*(record(requested(f"{server.url}/{at}", at)) for at in range(5)))
        assert len(await bench.outcomes(1)) == 1
        await asyncio.sleep(0.05)
        assert set(server.requests) == {"/a"}
