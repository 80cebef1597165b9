"""Intake on a real broker: lists in, one request per image out, whatever happens in between."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from tests.waiting import eventually_found

from imagelane.contracts.codec import decode, encode
from imagelane.contracts.commands import CancelJob
from imagelane.contracts.events import (
    ImageRequested,
    ImagesMissing,
    JobAccepted,
    JobRefused,
    JobSealed,
)
from imagelane.contracts.image_sets import pack
from imagelane.core.partitioning import partition_of, spread_partition
from imagelane.core.recipes import list_key
from imagelane.intake import app
from imagelane.intake.settings import IntakeSettings, Settings
from imagelane.platform.guarded_http import HttpGuardSettings
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.store_settings import DestinationSettings, StoreSettings

pytestmark = pytest.mark.kafka

PATIENCE_SECONDS = 40.0
SECRET = "the deployment's secret"
NO_BOUND = 10_000_000
ONLY_CRITICAL = 2  # librdkafka complains when the broker ends before its clients

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Seen:
    """A record as a reader of the topic sees it."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Headers


class Reader:
    """Reads one topic from its beginning, further with each look."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._name = kafka.topic(topic)
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": "nobody",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "log_level": ONLY_CRITICAL,
            }
        )
        found = self._consumer.list_topics(self._name, timeout=10).topics[self._name]
        self._numbers = sorted(found.partitions)
        self._consumer.assign([TopicPartition(self._name, number, 0) for number in self._numbers])
        self._seen: list[Seen] = []

    def look(self) -> list[Seen]:
        """All records that the topic holds now."""
        count = sum(map(self._end, self._numbers))
        while len(self._seen) < count:
            for message in self._consumer.consume(10_000, 0.1):
                if message.error() is None:
                    self._seen.append(
                        Seen(
                            message.partition() or 0,
                            message.offset() or 0,
                            message.timestamp()[1],
                            message.key(),
                            message.value() or b"",
                            message.headers() or [],  # type: ignore[arg-type] # values are bytes
                        )
                    )
        return self._seen

    def _end(self, number: int) -> int:
        place = TopicPartition(self._name, number)
        for _ in range(50):
            try:
                return self._consumer.get_watermark_offsets(place, timeout=10)[1]
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                    raise  # what is left is a topic that was made a moment ago
            time.sleep(0.1)
        raise AssertionError(f"{self._name} has no leader")

    def close(self) -> None:
        self._consumer.close()


class Topics:
    """Looks at the deployment's topics, and plays the parts of other services."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self._admin = AdminClient(
            {"bootstrap.servers": kafka.bootstrap_servers, "log_level": ONLY_CRITICAL}
        )
        self._readers: dict[str, Reader] = {}

    def read(self, topic: str) -> list[Seen]:
        if topic not in self._readers:
            self._readers[topic] = Reader(self.kafka, topic)
        return self._readers[topic].look()

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()

    def requested(self) -> list[ImageRequested]:
        return [decode("requested", one.value) for one in self.read("requested")]

    def jobs(self) -> list[Any]:
        ordered = sorted(self.read("jobs"), key=lambda one: (one.partition, one.offset))
        return [decode("jobs", one.value) for one in ordered]

    def jobs_of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.jobs() if isinstance(event, kind)]

    def ends(self, topic: str) -> dict[int, int]:
        return dict(Counter(one.partition for one in self.read(topic)))

    def commit_all(self, service: str, topic: str) -> None:
        """As if the service had finished everything that is in the topic now."""
        offsets = [
            TopicPartition(self.kafka.topic(topic), partition, end)
            for partition, end in self.ends(topic).items()
        ]
        if offsets:
            request = ConsumerGroupTopicPartitions(self.kafka.group(service), offsets)
            (answer,) = self._admin.alter_consumer_group_offsets([request]).values()
            answer.result(10)

    def committed_metadata(self) -> str:
        """What intake has noted about the lists that it is working on."""
        places = [TopicPartition(self.kafka.topic("urls"), number) for number in range(4)]
        request = ConsumerGroupTopicPartitions(self.kafka.group("intake"), places)
        (answer,) = self._admin.list_consumer_group_offsets([request]).values()
        return " ".join(one.metadata or "" for one in answer.result(10).topic_partitions)


@pytest.fixture
def topics(kafka: KafkaSettings) -> Iterator[Topics]:
    one = Topics(kafka)
    yield one
    one.close()


def settings_for(kafka: KafkaSettings, folder: Path, **intake: Any) -> Settings:
    destination = DestinationSettings(
        directory=folder / "public", public_base_url="http://cdn.example"
    )
    return Settings(
        kafka=kafka,
        store=StoreSettings(
            private_directory=folder / "private", destinations={"default": destination}
        ),
        http=HttpGuardSettings.model_validate({"allowed_networks": ["127.0.0.0/8"]}),
        intake=IntakeSettings(
            **{
                "deployment_secret": SecretStr(SECRET),
                "fetch_attempts": 2,
                "fetch_backoff_seconds": 0.05,
                "lag_seconds": 0.1,
                "max_unread": NO_BOUND,
                "sweep_check_seconds": 0.1,
                **intake,
            }
        ),
    )


@asynccontextmanager
async def intake_running(
    kafka: KafkaSettings, folder: Path, **intake: Any
) -> AsyncIterator[EventProducer]:
    """Intake in this process; gives a producer for whoever talks to it."""
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(settings_for(kafka, folder, **intake), stop))
    producer = EventProducer(kafka, source="/tests")
    try:
        yield producer
    finally:
        stop.set()
        await producer.close()
        await running


def environment_of(settings: Settings) -> dict[str, str]:
    groups = settings.model_dump(mode="json", exclude_none=True)
    variables = {
        f"IMAGELANE_{group.upper()}__{name.upper()}": value
        if isinstance(value, str)
        else json.dumps(value)
        for group in ("kafka", "http", "intake", "store")
        for name, value in groups[group].items()
        if name != "s3"
    }
    return {**variables, "IMAGELANE_INTAKE__DEPLOYMENT_SECRET": SECRET}


@contextmanager
def intake_process(kafka: KafkaSettings, folder: Path, **intake: Any) -> Iterator[None]:
    """Intake in a process of its own, killed at the end. Its group notices within six seconds."""
    quick = kafka.model_copy(update={"session_timeout_seconds": 6.0})
    settings = settings_for(quick, folder, **intake)
    with (folder / "intake.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagelane.intake"], env=environment_of(settings), stderr=log
        )
        try:
            yield
            assert process.poll() is None, (folder / "intake.log").read_text()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


async def submit(producer: EventProducer, value: object, headers: Headers | None = None) -> None:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    await producer.send_bytes("urls", key=None, value=raw, headers=headers or [])


def urls(count: int, host: str = "a") -> list[str]:
    return [f"https://{host}.example/{number}.jpg" for number in range(count)]


def indexes(requests: list[ImageRequested], job_id: str) -> list[int]:
    return [one.index for one in requests if one.job_id == job_id]


@pytest.fixture
async def list_server() -> AsyncIterator[Callable[[str, bytes], str]]:
    """Serves bytes under a name; gives the URL. Every list may be fetched once only."""
    contents: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=contents.pop(request.match_info["name"]))

    application = web.Application()
    application.router.add_get("/{name}", answer)

    def serve(name: str, body: bytes) -> str:
        contents[name] = body
        return str(server.make_url(f"/{name}"))

    async with TestServer(application) as server:
        yield serve


async def test_an_inline_list_is_accepted_requested_and_sealed_in_this_order(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    submitted = {
        "customer_id": "acme",
        "urls": [*urls(3), "", {"url": "https://b.example", "group": "g", "position": 9}],
        "idempotency_key": "monday",
    }
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, submitted)
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    accepted, sealed = topics.jobs()
    assert isinstance(accepted, JobAccepted)
    assert isinstance(sealed, JobSealed)
    assert (accepted.customer_id, accepted.idempotency_key) == ("acme", "monday")
    assert (sealed.job_id, sealed.images) == (accepted.job_id, 5)
    requests = sorted(topics.requested(), key=lambda one: one.index)
    assert indexes(requests, sealed.job_id) == [0, 1, 2, 3, 4]
    assert [bool(one.defect) for one in requests] == [False, False, False, True, False]
    assert (requests[4].group, requests[4].position) == ("g", 9)
    times = [one.timestamp_ms for one in topics.read("requested")]
    first, last = (one.timestamp_ms for one in topics.read("jobs"))
    assert first <= min(times) <= max(times) <= last
    frozen = gzip.decompress((tmp_path / "private" / list_key("acme", sealed.job_id)).read_bytes())
    assert len(frozen.splitlines()) == 6


async def test_everything_is_keyed_by_the_customer_whatever_the_submission_was(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    async with intake_running(kafka, tmp_path) as producer:
        await producer.send_bytes(
            "urls",
            key=b"somebody else",
            value=json.dumps({"customer_id": "acme", "urls": urls(20)}).encode(),
            headers=[],
            partition=3,
        )
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    records = [*topics.read("requested"), *topics.read("jobs")]
    assert {one.key for one in records} == {b"acme"}
    assert {one.partition for one in records} == {partition_of(b"acme", 4)}


async def test_lists_by_reference_are_fetched_once_and_requested_from_their_frozen_copies(
    kafka: KafkaSettings,
    topics: Topics,
    tmp_path: Path,
    list_server: Callable[[str, bytes], str],
) -> None:
    bodies = {
        "text": "\n".join(urls(1_200)).encode(),
        "list.json": json.dumps(urls(1_200)).encode(),
        "list.csv": ("n;url\r\n" + "\r\n".join(f"1;{url}" for url in urls(1_200))).encode(),
        "list.txt.gz": gzip.compress("\n".join(urls(1_200)).encode()),
    }
    async with intake_running(kafka, tmp_path) as producer:
        for name, body in bodies.items():
            await submit(producer, {"customer_id": name, "list_url": list_server(name, body)})
        await eventually_found(lambda: len(topics.jobs_of(JobSealed)) == len(bodies))
    assert {one.images for one in topics.jobs_of(JobSealed)} == {1_200}
    requests = sorted(topics.requested(), key=lambda one: one.index)
    for name in bodies:
        assert [one.url for one in requests if one.customer_id == name] == urls(1_200)


async def test_a_cloud_event_is_the_same_job_in_both_modes(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    data = {"customer_id": "acme", "urls": urls(4)}
    envelope = {"specversion": "1.0", "id": "7", "source": "/shop", "type": "t", "data": data}
    async with intake_running(kafka, tmp_path) as producer:
        headers = [("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_source", b"/shop")]
        await submit(producer, data, headers)
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
        await submit(producer, envelope, [("content-type", b"application/cloudevents+json")])
        await submit(producer, {"customer_id": "last", "urls": urls(1)})
        await eventually_found(lambda: len(topics.jobs_of(JobSealed)) == 2)
    assert Counter(one.customer_id for one in topics.requested()) == {"acme": 4, "last": 1}


async def test_the_same_submission_twice_at_once_is_one_job(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    submitted = {"customer_id": "acme", "urls": urls(700), "idempotency_key": "k"}
    async with intake_running(kafka, tmp_path) as producer:
        await asyncio.gather(*(submit(producer, submitted) for _ in range(3)))
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
        await submit(producer, submitted)
        await submit(producer, {"customer_id": "last", "urls": urls(1)})
        await eventually_found(
            lambda: "last" in {one.customer_id for one in topics.jobs_of(JobSealed)}
        )
    assert topics.jobs_of(JobRefused) == []
    jobs = {one.job_id for one in topics.jobs() if one.customer_id == "acme"}
    (job_id,) = jobs
    assert indexes(topics.requested(), job_id) == list(range(700))


async def test_a_key_with_other_content_is_refused_by_name_and_its_job_goes_on(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, {"customer_id": "acme", "urls": urls(3), "idempotency_key": "k-17"})
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
        await submit(producer, {"customer_id": "acme", "urls": urls(4), "idempotency_key": "k-17"})
        await eventually_found(lambda: bool(topics.jobs_of(JobRefused)))
    (refused,) = topics.jobs_of(JobRefused)
    assert refused.failure.code == "idempotency_conflict"
    assert "`k-17`" in refused.failure.reason
    assert refused.idempotency_key == "k-17"
    assert refused.job_id != topics.jobs_of(JobSealed)[0].job_id
    assert len(topics.requested()) == 3


async def test_what_cannot_become_a_job_is_refused_and_nothing_is_requested(
    kafka: KafkaSettings,
    topics: Topics,
    tmp_path: Path,
    list_server: Callable[[str, bytes], str],
) -> None:
    bad: dict[str, dict[str, object]] = {
        "unknown_recipe": {"urls": urls(1), "recipe": "sepia"},
        "unknown_destination": {"urls": urls(1), "destination": "moon"},
        "deadline_passed": {"urls": urls(1), "deadline": "2020-01-01T00:00:00Z"},
        "list_empty": {"list_url": list_server("empty", b"\n\n")},
        "list_too_long": {"list_url": list_server("long", b"https://a\n" * 1_001)},
        "list_unreadable": {"list_url": "http://127.0.0.1:1/closed"},
        "list_column_missing": {"list_url": list_server("columns.csv", b"link\nhttps://a")},
    }
    async with intake_running(kafka, tmp_path, max_list_lines=1_000) as producer:
        for expected, content in bad.items():
            await submit(producer, {"customer_id": expected, **content})
        await eventually_found(lambda: len(topics.jobs()) == len(bad))
    refusals = topics.jobs_of(JobRefused)
    assert {one.customer_id: one.failure.code for one in refusals} == {one: one for one in bad}
    assert topics.requested() == []
    assert not (tmp_path / "private" / "lists").exists()


async def test_a_refused_key_may_be_used_again(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    submitted = {"customer_id": "acme", "urls": urls(2), "idempotency_key": "k"}
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, submitted | {"recipe": "sepia"})
        await eventually_found(lambda: bool(topics.jobs_of(JobRefused)))
        await submit(producer, submitted)
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    assert len(topics.requested()) == 2


async def test_poison_goes_to_the_dead_letters_as_it_came_and_intake_goes_on(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    poison = b'{"customer_id": "acme", "urls": [5], \xff'
    async with intake_running(kafka, tmp_path) as producer:
        await producer.send_bytes("urls", key=b"k", value=poison, headers=[("mine", b"\x00\xff")])
        await submit(producer, None)
        await submit(producer, {"customer_id": "acme", "urls": urls(1)})
        await eventually_found(
            lambda: bool(topics.jobs_of(JobSealed)) and len(topics.read("dlq.urls")) == 2
        )
    letter = next(one for one in topics.read("dlq.urls") if one.key == b"k")
    assert letter.value == poison
    assert ("mine", b"\x00\xff") in letter.headers
    reasons = dict(letter.headers)
    assert reasons["__dlq.errors.topic"] == b"urls"
    assert reasons["__dlq.errors.group"] == kafka.group("intake").encode()
    assert reasons["__dlq.errors.message"]


async def test_a_record_as_large_as_the_broker_takes_is_a_dead_letter_too(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    large = os.urandom(1_000_000)
    big = EventProducer(kafka, source="/tests", overrides={"message.max.bytes": 1_048_500})
    async with intake_running(kafka, tmp_path):
        await big.send_bytes("urls", key=None, value=large, headers=[])
        await eventually_found(lambda: bool(topics.read("dlq.urls")))
    await big.close()
    (letter,) = topics.read("dlq.urls")
    assert letter.value == large
    assert b"list_url" in dict(letter.headers)["__dlq.errors.message"]


async def test_unread_requests_stay_within_the_bound_until_the_downloader_reads_on(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    home = partition_of(b"acme", 4)
    async with intake_running(kafka, tmp_path, max_unread=1_700, chunk_images=300) as producer:
        for _ in range(3):
            await submit(producer, {"customer_id": "acme", "urls": urls(1_000)})
        for expected in (1_700, 3_000):
            await eventually_found(lambda: topics.ends("requested").get(home, 0) >= expected)  # noqa: B023 # awaited here
            await asyncio.sleep(0.5)
            assert topics.ends("requested") == {home: expected}
            topics.commit_all("downloader", "requested")
        await eventually_found(lambda: len(topics.jobs_of(JobSealed)) == 3)
    assert Counter(Counter(one.job_id for one in topics.requested()).values()) == {1_000: 3}


async def test_a_killed_intake_goes_on_inside_the_list_and_seals_last(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    total, held_at = 9_000, 4_000
    producer = EventProducer(kafka, source="/tests")
    await submit(producer, {"customer_id": "acme", "urls": urls(total), "idempotency_key": "k"})
    await producer.close()
    with intake_process(kafka, tmp_path, max_unread=held_at):
        await eventually_found(lambda: f'"{held_at}"' in topics.committed_metadata())
    assert len(topics.requested()) == held_at
    assert topics.jobs_of(JobSealed) == []
    topics.commit_all("downloader", "requested")
    with intake_process(kafka, tmp_path, max_unread=NO_BOUND):
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    assert [type(one) for one in topics.jobs()] == [JobAccepted, JobSealed]
    requests = topics.requested()
    assert [one.index for one in requests] == list(range(total))
    assert {one.job_id for one in requests} == {topics.jobs()[0].job_id}
    last_request = max(one.timestamp_ms for one in topics.read("requested"))
    assert topics.read("jobs")[-1].timestamp_ms >= last_request


async def test_an_intake_killed_at_any_moment_leaves_nothing_out(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    total = 10_000
    producer = EventProducer(kafka, source="/tests")
    for number in range(2):
        await submit(producer, {"customer_id": f"c{number}", "urls": urls(total)})
    await producer.close()
    with intake_process(kafka, tmp_path, chunk_images=20):
        await eventually_found(lambda: sum(topics.ends("requested").values()) >= 1)
    with intake_process(kafka, tmp_path):
        await eventually_found(lambda: len({one.job_id for one in topics.jobs_of(JobSealed)}) == 2)
    requests = topics.requested()
    for sealed in topics.jobs_of(JobSealed):
        assert set(indexes(requests, sealed.job_id)) == set(range(total))
        assert sealed.images == total


async def test_a_clean_stop_inside_a_list_repeats_nothing(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    async with intake_running(kafka, tmp_path, max_unread=1_000) as producer:
        await submit(producer, {"customer_id": "acme", "urls": urls(3_000)})
        await eventually_found(lambda: sum(topics.ends("requested").values()) == 1_000)
    topics.commit_all("downloader", "requested")
    async with intake_running(kafka, tmp_path):
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    assert [one.index for one in topics.requested()] == list(range(3_000))


async def test_a_small_list_is_requested_early_beside_one_of_100_000(
    kafka: KafkaSettings,
    topics: Topics,
    tmp_path: Path,
    list_server: Callable[[str, bytes], str],
) -> None:
    large = list_server("large.txt.gz", gzip.compress("\n".join(urls(100_000)).encode()))
    async with intake_running(kafka, tmp_path) as producer:
        await submit(producer, {"customer_id": "large", "list_url": large})
        await eventually_found(lambda: bool(topics.ends("requested")))
        await submit(producer, {"customer_id": "small", "urls": urls(20)})
        await eventually_found(lambda: len(topics.jobs_of(JobSealed)) == 2)
    requests = [
        (one.timestamp_ms, decode("requested", one.value)) for one in topics.read("requested")
    ]
    assert Counter(one.customer_id for _, one in requests) == {"large": 100_000, "small": 20}
    small_at = max(at for at, one in requests if one.customer_id == "small")
    earlier = sum(at <= small_at for at, one in requests if one.customer_id == "large")
    assert earlier < 90_000


async def test_with_a_spread_a_customer_uses_several_partitions(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    spread = kafka.model_copy(update={"spread": 2})
    async with intake_running(spread, tmp_path) as producer:
        await submit(producer, {"customer_id": "acme", "urls": urls(100)})
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    expected = Counter(
        spread_partition("acme", index, partitions=4, spread=2) for index in range(100)
    )
    assert topics.ends("requested") == dict(expected)
    assert len(expected) == 2


async def test_missing_images_are_requested_again_once_the_road_is_empty(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    async with intake_running(kafka, tmp_path, chunk_images=10) as producer:
        await submit(producer, {"customer_id": "acme", "urls": urls(50)})
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
        job_id = topics.jobs_of(JobSealed)[0].job_id
        await producer.send_bytes("downloaded", key=b"acme", value=b"{}", headers=[])
        missing = ImagesMissing(
            customer_id="acme",
            job_id=job_id,
            images=pack([3, 41]),
            round=2,
            occurred_at=datetime.now(UTC),
        )
        await producer.send(missing)
        topics.commit_all("downloader", "requested")
        await asyncio.sleep(1.0)
        assert len(topics.requested()) == 50
        topics.commit_all("processor", "downloaded")
        await eventually_found(lambda: len(topics.requested()) == 52)
    again = sorted((one.index, one.url, one.round) for one in topics.requested() if one.round)
    assert again == [(3, urls(50)[3], 2), (41, urls(50)[41], 2)]


async def test_orders_that_make_no_sense_are_dead_letters(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    missing = ImagesMissing(
        customer_id="acme",
        job_id="a" * 32,
        images=pack([0]),
        round=1,
        occurred_at=datetime.now(UTC),
    )
    async with intake_running(kafka, tmp_path) as producer:
        await producer.send(missing)
        await producer.send_bytes("missing", key=b"globex", value=encode(missing), headers=[])
        await producer.send_bytes("commands", key=b"acme", value=b"nonsense", headers=[])
        await eventually_found(lambda: len(topics.read("dlq.missing")) == 2)
        await eventually_found(lambda: len(topics.read("dlq.commands")) == 1)
    reasons = {dict(one.headers)["__dlq.errors.message"] for one in topics.read("dlq.missing")}
    assert any(b"no list of such a job" in reason for reason in reasons)
    assert any(b"customer_id" in reason for reason in reasons)


async def test_a_cancelled_list_is_sealed_with_its_full_number_of_images(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    async with intake_running(kafka, tmp_path, max_unread=1_000, chunk_images=250) as producer:
        await submit(producer, {"customer_id": "acme", "urls": urls(5_000)})
        await eventually_found(lambda: sum(topics.ends("requested").values()) == 1_000)
        job_id = topics.jobs_of(JobAccepted)[0].job_id
        await producer.send(
            CancelJob(
                customer_id="acme", job_id=job_id, decided_by="ops", occurred_at=datetime.now(UTC)
            )
        )
        mark = tmp_path / "private" / f"{list_key('acme', job_id)}.stopped"
        await eventually_found(mark.exists)
        await asyncio.sleep(1.0)
        topics.commit_all("downloader", "requested")
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    assert topics.jobs_of(JobSealed)[0].images == 5_000
    assert len(topics.requested()) == 1_250


async def test_a_customers_many_lists_do_not_hold_up_another_customer(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    other = next(
        name
        for name in map("c{}".format, range(100))
        if partition_of(name.encode(), 4) != partition_of(b"acme", 4)
    )
    limits = {"active_lists": 3, "active_lists_per_customer": 2, "max_unread": 100}
    async with intake_running(kafka, tmp_path, **limits) as producer:
        for _ in range(10):
            await submit(producer, {"customer_id": "acme", "urls": urls(200)})
        await eventually_found(lambda: len(topics.jobs_of(JobAccepted)) == 10)
        await submit(producer, {"customer_id": other, "urls": urls(20)})
        await eventually_found(lambda: bool(topics.jobs_of(JobSealed)))
    assert [one.customer_id for one in topics.jobs_of(JobSealed)] == [other]


async def test_a_flood_of_poison_stops_intake_rather_than_drain_the_topic(
    kafka: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    """Its end is one line that says why, with a code of its own; what it has not read stays unread."""
    producer = EventProducer(kafka, source="/tests")
    await asyncio.gather(*(submit(producer, f"poison {n}".encode()) for n in range(2_000)))
    await producer.close()
    strict = kafka.model_copy(update={"unreadable_records": 20})
    environment = environment_of(settings_for(strict, tmp_path))
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "imagelane.intake"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 65, ended.stderr
    assert "could not be read" in ended.stderr
    assert "Traceback" not in ended.stderr
    # Lists are taken up many at a time: some more were on their way when it was enough.
    assert 20 < len(topics.read("dlq.urls")) < 1_000
