"""Dispatchers as real processes on the real broker, and a small batch API with a journal of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from tests.waiting import comes_about, eventually

from imagelane.contracts.codec import decode, encode, key_of
from imagelane.contracts.events import (
    BatchRequested,
    CallCompleted,
    CallHinted,
    Event,
    ImagesSettled,
    LaneTold,
)
from imagelane.contracts.image_sets import pack, unpack
from imagelane.contracts.parts import ReadyImages, SettledImages
from imagelane.contracts.topics import COMPLETED, TOPIC_OF
from imagelane.core.partitioning import partition_of
from imagelane.ops import topics
from imagelane.platform.settings import KafkaSettings

JOB = "a" * 32
OTHER_JOB = "b" * 32
BASE = "http://images.test/public"
SESSION_SECONDS = 6.0
MODULE = ("-m", "imagelane.dispatcher")
FORGETTING = """
import runpy
from imagelane.dispatcher import app
app.check_retention = lambda *_: None
runpy.run_module("imagelane.dispatcher", run_name="__main__")
"""
FORGETFUL = ("-c", FORGETTING)
"""A dispatcher that forgets sooner than its topics, which it would refuse."""


@dataclass
class Batch:
    """A batch as the API's own journal has it. Times are monotonic seconds."""

    id: str
    customer: str
    reference: str
    urls: list[str]
    accepted_at: float
    finished_at: float | None = None
    failed: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        done = self.finished_at is not None
        status = ("partial" if self.failed else "completed") if done else "active"
        return {
            "id": self.id,
            "customer": self.customer,
            "reference": self.reference,
            "status": status,
            "count": len(self.urls),
            "failed": [{"url": url, "reason": "of the test"} for url in self.failed],
        }


@dataclass
class BatchServer:
    """Level A: honours keys, refuses a second active batch, lists. Its faults are plain fields."""

    url: str = ""
    seconds: float = 0.3
    lose_answers: int = 0
    answer_seconds: float = 0.0
    bad_urls: frozenset[str] = frozenset()
    journal: list[Batch] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    looks: int = 0
    on_finish: Callable[[Batch], None] = field(default=lambda _batch: None)

    def of(self, customer: str) -> list[Batch]:
        return [batch for batch in self.journal if batch.customer == customer]

    def overlaps(self) -> list[tuple[Batch, Batch]]:
        """Pairs of batches of one customer that were active at the same time."""
        return [
            (one, other)
            for at, one in enumerate(self.journal)
            for other in self.journal[at + 1 :]
            if one.customer == other.customer
            and (one.finished_at is None or one.finished_at > other.accepted_at)
        ]

    def urls_of(self, customer: str) -> list[str]:
        return [url for batch in self.of(customer) for url in batch.urls]

    async def post(self, request: web.Request) -> web.StreamResponse:
        body, key = await request.json(), request.headers["Idempotency-Key"]
        self.posts.append(key)
        known = next((batch for batch in self.journal if batch.reference == key), None)
        if known is None:
            active = [b for b in self.of(body["customer"]) if b.finished_at is None]
            if active:
                return web.json_response({"error": "busy", "active": active[0].shown()}, status=409)
            known = Batch(uuid.uuid4().hex, body["customer"], key, body["urls"], time.monotonic())
            self.journal.append(known)
            asyncio.get_running_loop().call_later(self.seconds, self.finish, known)
        if self.lose_answers:
            self.lose_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        await asyncio.sleep(self.answer_seconds)
        return web.json_response(known.shown(), status=202)

    def finish(self, batch: Batch) -> None:
        batch.failed = [url for url in batch.urls if url in self.bad_urls]
        batch.finished_at = time.monotonic()
        self.on_finish(batch)

    async def get(self, request: web.Request) -> web.Response:
        self.looks += 1
        found = [b for b in self.journal if b.id == request.match_info["id"]]
        return web.json_response(found[0].shown() if found else {}, status=200 if found else 404)

    async def list(self, request: web.Request) -> web.Response:
        found = [
            batch.shown()
            for batch in self.of(request.query["customer"])
            if batch.reference == request.query["reference"]
        ]
        return web.json_response({"batches": found})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[BatchServer]:
        app = web.Application(client_max_size=64 * 1024**2)
        app.add_routes(
            [
                web.post("/v1/batches", self.post),
                web.get("/v1/batches", self.list),
                web.get("/v1/batches/{id}", self.get),
            ]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()


class Told:
    """What stands on `completed`, read as it comes."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.events: list[CallCompleted | LaneTold] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": f"{kafka.topic_prefix}test",
                "enable.auto.commit": False,
            }
        )
        self._partitions = kafka.strict_partitions
        topic = kafka.topic(COMPLETED)
        self._consumer.assign(
            [TopicPartition(topic, at, OFFSET_BEGINNING) for at in range(self._partitions)]
        )

    def read(self) -> Told:
        for message in self._consumer.consume(500, 0.0):
            if message.error() is None:
                event = decode(COMPLETED, message.value())
                key = event.customer_id.encode()
                assert message.key() == key
                assert message.partition() == partition_of(key, self._partitions)
                self.events.append(event)
        return self

    def calls(self, customer: str) -> list[CallCompleted]:
        return [
            event
            for event in self.read().events
            if isinstance(event, CallCompleted) and event.customer_id == customer
        ]

    def closings(self, customer: str) -> list[LaneTold]:
        return [event for event in self.truths(customer) if event.answers]

    def truths(self, customer: str) -> list[LaneTold]:
        return [
            event
            for event in self.read().events
            if isinstance(event, LaneTold) and event.customer_id == customer
        ]

    def close(self) -> None:
        self._consumer.close()


class Rig:
    """Starts dispatchers, speaks to them over Kafka, and hears what they tell."""

    def __init__(self, kafka: KafkaSettings, api: BatchServer, folder: Path) -> None:
        self.kafka = kafka
        self.api = api
        self.told = Told(kafka)
        self.environment: dict[str, str] = {}
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "partitioner": "murmur2_random"}
        )

    def start(self, name: str = "one", **own: object) -> subprocess.Popen[bytes]:
        """A dispatcher. `own` are settings of its group, such as `poll_min_seconds`."""
        places = {"default": {"directory": str(self._folder), "public_base_url": BASE}}
        settings = {
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "KAFKA__STRICT_PARTITIONS": str(self.kafka.strict_partitions),
            "KAFKA__SESSION_TIMEOUT_SECONDS": str(self.kafka.session_timeout_seconds),
            "KAFKA__GROUP_PROTOCOL": self.kafka.group_protocol,
            "STORE__PRIVATE_DIRECTORY": str(self._folder.parent / "private"),
            "STORE__DESTINATIONS": json.dumps(places),
            "BATCH_API__BASE_URL": self.api.url,
            "BATCH_API__START_SECONDS": "5",
            "DISPATCHER__CAPABILITIES": "A",
            "DISPATCHER__WORKER_NAME": name,
            "DISPATCHER__RETRY_MAX_SECONDS": "1",
            "LOG__FORM": "json",
            **self.environment,
            **{f"DISPATCHER__{key.upper()}": str(value) for key, value in own.items()},
        }
        if "failpoint" in own:
            settings["DISPATCHER__ALLOW_FAILPOINTS"] = "true"
        log = (self._folder / f"{name}-{len(self._processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *(FORGETFUL if "retention_days" in own else MODULE)],
            env={f"IMAGELANE_{key}": value for key, value in settings.items()},
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self._processes.append(process)
        return process

    def send(self, event: Event) -> None:
        self._producer.produce(
            self.kafka.topic(TOPIC_OF[type(event)]),
            key=key_of(event),
            value=encode(event),
        )
        self._producer.poll(0)

    def request(self, customer: str, seq: int, images: Iterable[int], job: str = JOB) -> None:
        ready = ReadyImages(
            job_id=job, recipe="default", destination="default", images=pack(images)
        )
        self.send(
            BatchRequested(
                customer_id=customer, seq=seq, jobs=[ready], occurred_at=datetime.now(UTC)
            )
        )

    def settle(self, customer: str, failed: Iterable[int], job: str = JOB) -> None:
        settled = SettledImages(job_id=job, failed=pack(failed))
        self.send(
            ImagesSettled(customer_id=customer, jobs=[settled], occurred_at=datetime.now(UTC))
        )

    def hint(self, batch: Batch) -> None:
        self.send(
            CallHinted(
                customer_id=batch.customer,
                call_id=batch.id,
                reference=batch.reference,
                occurred_at=datetime.now(UTC),
            )
        )

    def customers(self, count: int) -> list[str]:
        """So many customers, spread over all partitions."""
        return [f"customer-{number}" for number in range(count)]

    def partition(self, customer: str) -> int:
        return partition_of(customer.encode(), self.kafka.strict_partitions)

    async def resolved(
        self, customer: str, seq: int, *, within_seconds: float = 40.0
    ) -> CallCompleted:
        """The answer to the call `seq`, once it was told."""

        def answers() -> list[CallCompleted]:
            return [call for call in self.told.calls(customer) if call.seq == seq]

        await eventually(answers, within_seconds=within_seconds)
        return answers()[0]

    async def work(self, customer: str, calls: int, images: int = 5) -> None:
        """Asks for so many calls, one after the other, and repeats what gets no answer, as a batcher does."""
        for seq in range(1, calls + 1):
            for _ in range(18):
                self.request(customer, seq, range(seq * images, (seq + 1) * images))
                if await comes_about(partial(self._has, customer, seq), within_seconds=5):
                    break
            else:
                pytest.fail(f"call {seq} of {customer} was not resolved")

    def _has(self, customer: str, seq: int) -> bool:
        return any(call.seq == seq for call in self.told.calls(customer))

    def log_of(self, process: subprocess.Popen[bytes]) -> str:
        at = self._processes.index(process)
        return next(self._folder.glob(f"*-{at}.log")).read_text()

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._producer.close()
        self.told.close()


Rigs = Callable[..., Rig]


def urls(images: Iterable[int], job: str = JOB) -> list[str]:
    """The public URLs of these images."""
    return [f"{BASE}/{job}/{index}/image.jpg" for index in images]


def headers_of(message: Message) -> dict[str, str]:
    """A message's headers as text."""
    headers = cast(list[tuple[str, bytes]], message.headers() or [])
    return {name: value.decode() for name, value in headers}


def indexes(sets: Any) -> list[int]:
    """The indexes in a set of an event."""
    return sorted(unpack(sets))


@pytest.fixture
async def api() -> AsyncIterator[BatchServer]:
    async with BatchServer().serving() as server:
        yield server


@pytest.fixture
async def rigs(kafka: KafkaSettings, api: BatchServer, tmp_path: Path) -> AsyncIterator[Rigs]:
    """Makes rigs, each with topics and a group of its own."""
    made: list[Rig] = []

    def make(group_protocol: str = "consumer") -> Rig:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        changes = {
            "topic_prefix": f"{kafka.topic_prefix}{len(made)}-",
            "session_timeout_seconds": SESSION_SECONDS,
            "group_protocol": group_protocol,
        }
        own = kafka.model_copy(update=changes)
        topics.apply(own, lambda _text: None)
        made.append(Rig(own, api, folder))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(rigs: Rigs) -> Rig:
    return rigs()
