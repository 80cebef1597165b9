"""The downloader on a real broker: one outcome per request, and its original in the store."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from msgspec import UNSET
from tests.waiting import eventually_found

from imagelane.contracts.codec import decode, encode
from imagelane.contracts.events import ImageDownloaded, ImageRequested
from imagelane.contracts.hosts import HostRecorded, host_key
from imagelane.contracts.topics import HOSTS
from imagelane.core.failures import Code, failure
from imagelane.core.partitioning import partition_of
from imagelane.core.recipes import original_key
from imagelane.downloader import app
from imagelane.downloader.settings import DownloaderSettings, Settings
from imagelane.platform.guarded_http import HttpGuardSettings
from imagelane.platform.lag import LagReader
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.store_settings import DestinationSettings, StoreSettings

pytestmark = pytest.mark.kafka

PATIENCE_SECONDS = 40.0
JOB = "b" * 32
PARTITIONS = 4


def image_of(path: str) -> bytes:
    return b"\xff\xd8\xff\xe0" + path.encode() * 100


@dataclass
class Images:
    """A JPEG under every path below /images, and nothing elsewhere."""

    url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    delay_seconds: float = 0.0
    busy: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        await asyncio.sleep(self.delay_seconds)
        if request.path in self.busy:
            return web.Response(status=429, headers={"Retry-After": "120"})
        if not request.path.startswith("/images/"):
            raise web.HTTPNotFound
        return web.Response(body=image_of(request.path))


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    served = Images()
    application = web.Application()
    application.router.add_get("/{path:.*}", served.answer)
    async with TestServer(application) as server:
        served.url = str(server.make_url("")).rstrip("/")
        yield served


class Reader:
    """Reads one topic from its beginning, further with each look."""

    def __init__(self, kafka: KafkaSettings, topic: str, partitions: int = PARTITIONS) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": "nobody",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
        name = kafka.topic(topic)
        self._consumer.assign([TopicPartition(name, number, 0) for number in range(partitions)])
        self.records: list[Any] = []

    def look(self) -> list[Any]:
        """What has come until now."""
        for message in self._consumer.consume(10_000, 0.05):
            if message.error() is None:
                self.records.append(message)
        return self.records

    def close(self) -> None:
        self._consumer.close()


@dataclass
class Road:
    """The topics on both sides of the downloader."""

    kafka: KafkaSettings
    producer: EventProducer
    downloaded: Reader
    buried: Reader

    async def request(self, *events: ImageRequested) -> None:
        await asyncio.gather(*map(self.producer.send, events))

    async def request_bytes(self, value: bytes | None, key: bytes | None) -> None:
        await self.producer.send_bytes("requested", key=key, value=value, headers=[("a", b"1")])

    def outcomes(self) -> list[ImageDownloaded]:
        return [decode("downloaded", one.value()) for one in self.downloaded.look()]

    async def wait_for(self, count: int) -> dict[int, ImageDownloaded]:
        """The outcomes by index, once there are so many indexes."""
        await eventually_found(lambda: len({one.index for one in self.outcomes()}) >= count)
        return {one.index: one for one in self.outcomes()}


@pytest.fixture
async def road(kafka: KafkaSettings) -> AsyncIterator[Road]:
    producer = EventProducer(kafka, source="/tests")
    one = Road(kafka, producer, Reader(kafka, "downloaded"), Reader(kafka, "dlq.requested"))
    yield one
    await producer.close()
    one.downloaded.close()
    one.buried.close()


def settings_for(kafka: KafkaSettings, folder: Path, **downloader: Any) -> Settings:
    destination = DestinationSettings(
        directory=folder / "public", public_base_url="http://cdn.example"
    )
    return Settings(
        kafka=kafka,
        store=StoreSettings(
            private_directory=folder / "private", destinations={"default": destination}
        ),
        http=HttpGuardSettings.model_validate({"allowed_networks": ["127.0.0.1/32"]}),
        downloader=DownloaderSettings(**downloader),
    )


@asynccontextmanager
async def downloading(kafka: KafkaSettings, folder: Path, **downloader: Any) -> AsyncIterator[None]:
    """The downloader in this process; it has to end well."""
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(settings_for(kafka, folder, **downloader), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


@contextmanager
def downloader_process(
    kafka: KafkaSettings, folder: Path, **downloader: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """The downloader as it is deployed: killed at the end, if it has not ended before."""
    groups = settings_for(kafka, folder, **downloader).model_dump(mode="json", exclude_none=True)
    variables = {
        f"IMAGELANE_{group.upper()}__{name.upper()}": value
        if isinstance(value, str)
        else json.dumps(value)
        for group in ("kafka", "http", "store", "downloader")
        for name, value in groups[group].items()
        if name != "s3"
    }
    with (folder / "downloader.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagelane.downloader"], env=variables, stderr=log
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


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


async def lag_of(kafka: KafkaSettings) -> int:
    return sum((await LagReader(kafka).unread("downloader", "requested")).values())


async def test_every_request_has_one_outcome_and_the_images_are_stored(
    kafka: KafkaSettings, road: Road, images: Images, tmp_path: Path
) -> None:
    lines = {
        0: (f"{images.url}/images/a.jpg", "ok"),
        1: (f"{images.url}/missing.jpg", "not_found"),
        2: ("http://169.254.169.254/latest/meta-data/", "unreachable"),
        3: ("http://user:secret@example.com/", "url_refused"),
        4: (f"{images.url}/images/b.jpg", "ok"),
    }
    defect = failure(Code.URL_REFUSED, "it is empty")
    async with downloading(kafka, tmp_path):
        await road.request(
            *(requested(url, index) for index, (url, _) in lines.items()),
            requested("", 5, defect=defect),
        )
        outcomes = await road.wait_for(6)
    assert {index: code_of(one) for index, one in outcomes.items()} == {
        5: "url_refused",
        **{index: code for index, (_, code) in lines.items()},
    }
    assert outcomes[5].failure == defect
    assert len(road.outcomes()) == 6
    stored = tmp_path / "private" / original_key(JOB, 0)
    assert stored.read_bytes() == image_of("/images/a.jpg")
    original = outcomes[0].original
    assert original is not UNSET
    assert original.key == original_key(JOB, 0)
    assert original.sha256 == hashlib.sha256(image_of("/images/a.jpg")).hexdigest()
    assert {(one.key(), one.partition()) for one in road.downloaded.records} == {
        (b"acme", partition_of(b"acme", PARTITIONS))
    }
    assert await lag_of(kafka) == 0


async def test_what_cannot_be_read_goes_to_the_dead_letters_whole(
    kafka: KafkaSettings, road: Road, images: Images, tmp_path: Path
) -> None:
    foreign = encode(requested(f"{images.url}/images/a.jpg", 1))
    poison: list[tuple[bytes | None, bytes | None]] = [
        (b"acme", b"{"),
        (b"acme", None),
        (b"acme", b"\xff\xfe"),
        (b"acme", b"[" * 100_000),
        (b"acme", random.Random(1).randbytes(1_040_000)),  # what the broker just takes
        (None, foreign),
        (b"other", foreign),
        (b"acme", foreign.replace(b'"index":1', b'"index":1e999')),
    ]
    async with downloading(kafka, tmp_path):
        for key, value in poison:
            await road.request_bytes(value, key)
        await road.request(requested(f"{images.url}/images/b.jpg", 2))
        outcomes = await road.wait_for(1)
        await eventually_found(lambda: len(road.buried.look()) == len(poison))
    assert outcomes.keys() == {2}
    letters = [(one.key(), one.value()) for one in road.buried.records]
    assert sorted(map(repr, letters)) == sorted(map(repr, poison))
    names = {name for one in road.buried.records for name, _ in one.headers()}
    assert {"a", "__dlq.errors.message", "__dlq.errors.offset"} <= names
    assert images.requests == {"/images/b.jpg": 1}
    assert await lag_of(kafka) == 0


async def test_fetching_stops_while_the_processor_is_far_behind_and_goes_on_afterwards(
    kafka: KafkaSettings, road: Road, images: Images, tmp_path: Path
) -> None:
    images.delay_seconds = 0.05
    count = 400
    urls = [f"{images.url}/images/{index}" for index in range(count)]
    async with downloading(kafka, tmp_path, max_backlog_images=20, concurrency=8):
        await road.request(*(requested(url, index) for index, url in enumerate(urls)))
        await road.wait_for(20)
        await asyncio.sleep(1.5)  # a look at the backlog, and then nothing more
        stopped_at = images.requests.total()
        await asyncio.sleep(1.0)
        assert images.requests.total() == stopped_at < count
        processor = asyncio.create_task(play_the_processor(road))
        assert len(await road.wait_for(count)) == count
        processor.cancel()
    assert set(map(code_of, road.outcomes())) == {"ok"}


async def play_the_processor(road: Road) -> None:
    """Commits whatever has come, as the processor would."""
    admin = AdminClient({"bootstrap.servers": road.kafka.bootstrap_servers})
    while True:
        ends = Counter(one.partition() for one in road.downloaded.records)
        places = [
            TopicPartition(road.kafka.topic("downloaded"), partition, end)
            for partition, end in ends.items()
        ]
        request = ConsumerGroupTopicPartitions(road.kafka.group("processor"), places)
        (answer,) = admin.alter_consumer_group_offsets([request]).values()
        await asyncio.wrap_future(answer)
        await asyncio.sleep(0.1)


async def test_a_small_customer_is_not_behind_a_large_one_on_a_stalling_server(
    kafka: KafkaSettings, road: Road, images: Images, tmp_path: Path
) -> None:
    stalling = Images(delay_seconds=30.0)
    application = web.Application()
    application.router.add_get("/{path:.*}", stalling.answer)
    server = TestServer(application)
    await server.start_server()
    base = str(server.make_url("")).rstrip("/")
    async with downloading(kafka, tmp_path, waiting_images_per_customer=50):
        await road.request(*(requested(f"{base}/{at}", at, "large") for at in range(3_000)))
        await eventually_found(lambda: stalling.requests.total() > 0)
        await road.request(
            *(requested(f"{images.url}/images/{at}", at, "small") for at in range(20))
        )
        began = asyncio.get_running_loop().time()
        await eventually_found(lambda: len(road.outcomes()) >= 20)
        assert asyncio.get_running_loop().time() - began < stalling.delay_seconds
    assert {(one.customer_id, one.status) for one in road.outcomes()} == {("small", "ok")}
    await server.close()


async def test_a_server_that_asks_for_a_pause_is_told_on_hosts(
    kafka: KafkaSettings, road: Road, images: Images, tmp_path: Path
) -> None:
    told = Reader(kafka, HOSTS, partitions=1)

    def last() -> HostRecorded | None:
        records = told.look()
        return decode(HOSTS, records[-1].value()) if records else None

    images.busy.add("/images/busy.jpg")
    async with downloading(kafka, tmp_path, retries=1):
        await road.request(requested(f"{images.url}/images/busy.jpg"))
        await eventually_found(lambda: last() is not None)
    event = last()
    assert event is not None
    assert (event.host, event.state) == (images.url.removeprefix("http://"), "asked_to_wait")
    assert (event.trouble, event.images_at_a_time) == (Code.RATE_LIMITED, 2)
    assert event.resumes_at is not UNSET
    assert 100 < (event.resumes_at - event.occurred_at).total_seconds() < 120
    assert told.records[-1].key() == host_key(event)
    assert b"acme" not in told.records[-1].value(), "nobody's images are named"
    told.close()


async def test_killed_and_started_again_it_loses_nothing(
    kafka: KafkaSettings, road: Road, images: Images, tmp_path: Path
) -> None:
    quick = kafka.model_copy(update={"session_timeout_seconds": 6.0})
    count = 300
    images.delay_seconds = 0.1
    await road.request(
        *(requested(f"{images.url}/images/{at}", at, f"customer-{at % 7}") for at in range(count))
    )
    for kill_at in (40, 160):
        with downloader_process(quick, tmp_path, concurrency=8):
            await road.wait_for(kill_at)
    with downloader_process(quick, tmp_path, concurrency=64) as process:
        outcomes = await road.wait_for(count)
        process.send_signal(signal.SIGTERM)
        ended = await asyncio.to_thread(process.wait, 20)
    assert ended == 0, (tmp_path / "downloader.log").read_text()
    assert {code_of(one) for one in outcomes.values()} == {"ok"}
    assert outcomes.keys() == set(range(count))
    # A kill costs what was under way and what was not committed in the last second, no more.
    assert len(road.outcomes()) < 2 * count  # a restart does not begin anew
    assert await lag_of(kafka) == 0


async def test_a_store_that_is_gone_ends_the_process_and_fails_no_image(
    kafka: KafkaSettings,
    road: Road,
    images: Images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagelane.downloader.pipeline.STORE_WAITS_SECONDS", (0.1,))
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(settings_for(kafka, tmp_path), stop))
    await road.request(requested(f"{images.url}/images/0", 0))
    await road.wait_for(1)
    gone = tmp_path / "private"
    gone.rename(tmp_path / "elsewhere")
    await road.request(requested(f"{images.url}/images/1", 1))
    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(running, PATIENCE_SECONDS)
    (tmp_path / "elsewhere").rename(gone)
    async with downloading(kafka, tmp_path):
        outcomes = await road.wait_for(2)
    assert {code_of(one) for one in outcomes.values()} == {"ok"}
