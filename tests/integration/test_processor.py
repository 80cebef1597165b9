"""The processor on a real broker: one outcome per original, whatever is killed, repeated or unreadable."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from msgspec import UNSET
from msgspec.structs import replace
from PIL import Image
from tests.waiting import eventually_found

from imagelane.contracts.codec import decode, encode
from imagelane.contracts.events import ImageDownloaded, ImageProcessed
from imagelane.contracts.parts import Original
from imagelane.core.failures import Code, failure
from imagelane.core.partitioning import partition_of
from imagelane.core.recipes import original_key
from imagelane.platform.lag import LagReader
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.store import ObjectHeaders
from imagelane.platform.store_settings import DestinationSettings, StoreSettings
from imagelane.platform.stores import DirectoryStore
from imagelane.processor import app
from imagelane.processor.settings import ProcessorSettings, Settings

pytestmark = pytest.mark.kafka

PATIENCE_SECONDS = 40.0
JOB = "c" * 32
PARTITIONS = 4
HEADERS = ObjectHeaders("application/octet-stream", "no-store")


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


PHOTO = saved(Image.effect_noise((64, 48), 80).convert("RGB"), "JPEG")


def slow_image() -> bytes:
    """Takes about a second to decode."""
    return saved(Image.new("RGBA", (5000, 5000), (1, 2, 3, 128)), "WEBP", lossless=True, quality=0)


class Reader:
    """Reads one topic from its beginning, further with each look."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "group.id": "nobody",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
        name = kafka.topic(topic)
        self._consumer.assign([TopicPartition(name, number, 0) for number in range(PARTITIONS)])
        self.records: list[Message] = []

    def look(self) -> list[Message]:
        """What has come until now."""
        for message in self._consumer.consume(10_000, 0.05):
            if message.error() is None:
                self.records.append(message)
        return self.records

    def close(self) -> None:
        self._consumer.close()


@dataclass
class Road:
    """The topics on both sides of the processor, and the stores below it."""

    kafka: KafkaSettings
    folder: Path
    producer: EventProducer
    processed: Reader
    buried: Reader

    @property
    def originals(self) -> DirectoryStore:
        return DirectoryStore(self.folder / "private")

    async def put(self, index: int, data: bytes = PHOTO, **fields: Any) -> ImageDownloaded:
        """Stores an original and tells of it."""
        event = downloaded(index, **fields)
        await self.originals.put(original_key(JOB, index), data, HEADERS)
        await self.producer.send(event)
        return event

    def outcomes(self) -> list[ImageProcessed]:
        return [decode("processed", one.value()) for one in self.processed.look()]

    async def wait_for(self, count: int) -> dict[int, ImageProcessed]:
        """The outcomes by index, once there are so many indexes."""
        await eventually_found(lambda: len({one.index for one in self.outcomes()}) >= count)
        return {one.index: one for one in self.outcomes()}

    def result(self, index: int) -> Path:
        return self.folder / "public" / JOB / str(index) / "image.jpg"

    def original(self, index: int) -> Path:
        return self.folder / "private" / original_key(JOB, index)


def downloaded(index: int, **fields: Any) -> ImageDownloaded:
    event = ImageDownloaded(
        customer_id="acme",
        job_id=JOB,
        index=index,
        url=f"https://example.com/{index}.jpg",
        recipe="default",
        destination="default",
        status="ok",
        occurred_at=datetime.now(UTC),
        seconds=0.1,
        original=Original(key=original_key(JOB, index), size_bytes=1, sha256="0" * 64),
    )
    return replace(event, **fields)


@pytest.fixture
async def road(kafka: KafkaSettings, tmp_path: Path) -> AsyncIterator[Road]:
    (tmp_path / "private").mkdir()
    producer = EventProducer(kafka, source="/tests")
    one = Road(
        kafka, tmp_path, producer, Reader(kafka, "processed"), Reader(kafka, "dlq.downloaded")
    )
    yield one
    await producer.close()
    one.processed.close()
    one.buried.close()


def settings_for(road: Road, **processor: Any) -> Settings:
    destination = DestinationSettings(
        directory=road.folder / "public", public_base_url="http://cdn.example"
    )
    return Settings(
        kafka=road.kafka,
        store=StoreSettings(
            private_directory=road.folder / "private", destinations={"default": destination}
        ),
        processor=ProcessorSettings.model_validate(
            {"children": 2, "public_probe_seconds": 0, **processor}
        ),
    )


@asynccontextmanager
async def processing(road: Road, **processor: Any) -> AsyncIterator[None]:
    """The processor in this process; it has to end well."""
    stop = asyncio.Event()
    running = asyncio.create_task(app.run(settings_for(road, **processor), stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(running, PATIENCE_SECONDS)


@contextmanager
def processor_process(road: Road) -> Iterator[subprocess.Popen[bytes]]:
    """The processor as it is deployed: killed at the end, if it has not ended before."""
    groups = settings_for(road).model_dump(mode="json", exclude_none=True)
    variables = {
        f"IMAGELANE_{group.upper()}__{name.upper()}": value
        if isinstance(value, str)
        else json.dumps(value)
        for group in ("kafka", "store", "processor")
        for name, value in groups[group].items()
        if name != "s3"
    }
    with (road.folder / "processor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "imagelane.processor"], env=variables, stderr=log
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def children_of(pid: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found


def decoders_of(pid: int) -> set[int]:
    return {one for one in children_of(pid) if "decode_child" in command_of(one)}


def command_of(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_an_image_becomes_a_public_result_and_its_original_goes(road: Road) -> None:
    event = await road.put(3, group="album", position=9)
    async with processing(road):
        outcome = (await road.wait_for(1))[3]
        await eventually_found(lambda: not road.original(3).exists())
    assert outcome.outputs is not UNSET
    (output,) = outcome.outputs
    assert (output.name, output.content_type) == ("image", "image/jpeg")
    assert output.url == f"http://cdn.example/{JOB}/3/image.jpg"
    assert output.size_bytes == road.result(3).stat().st_size
    with Image.open(road.result(3)) as image:
        assert image.size == (output.width, output.height) == (64, 48)
    assert (outcome.customer_id, outcome.url) == (event.customer_id, event.url)
    assert (outcome.group, outcome.position) == ("album", 9)
    (record,) = road.processed.records
    assert record.key() == b"acme"
    assert record.partition() == partition_of(b"acme", PARTITIONS)


async def test_what_failed_before_and_what_fails_here_goes_on_as_failed(road: Road) -> None:
    gone = failure(Code.NOT_FOUND)
    await road.producer.send(downloaded(0, status="failed", original=UNSET, failure=gone))
    await road.put(1, PHOTO[:1000])
    await road.put(2, b"<svg/>")
    await road.put(3, recipe="unheard-of")
    await road.put(4, destination="nowhere")
    await road.put(5)
    async with processing(road):
        outcomes = await road.wait_for(6)
        await eventually_found(lambda: not any(road.original(index).exists() for index in range(6)))
    codes = {
        index: "ok" if one.failure is UNSET else one.failure.code for index, one in outcomes.items()
    }
    assert codes == {
        0: "not_found",
        1: "corrupt",
        2: "not_an_image",
        3: "unknown_recipe",
        4: "unknown_destination",
        5: "ok",
    }
    assert outcomes[0].failure == gone
    assert [index for index in range(6) if road.result(index).exists()] == [5]


async def test_a_record_that_comes_again_after_its_original_went_tells_nothing(road: Road) -> None:
    async with processing(road):
        event = await road.put(1)
        await road.wait_for(1)
        await eventually_found(lambda: not road.original(1).exists())
        await road.producer.send(event)
        await road.put(2)
        await road.wait_for(2)
    unread = await LagReader(road.kafka).unread("processor", "downloaded")
    assert sum(unread.values()) == 0
    assert Counter(one.index for one in road.outcomes()) == {1: 1, 2: 1}


async def test_unreadable_records_are_buried_whole_and_the_rest_goes_on(road: Road) -> None:
    foreign = encode(downloaded(1))
    elsewhere = encode(
        downloaded(2, original=Original(key="lists/secret", size_bytes=1, sha256="0" * 64))
    )
    for value, key in (
        (b"\xff not json", b"acme"),
        (None, b"acme"),
        (foreign, b"somebody else"),
        (foreign, None),
        (elsewhere, b"acme"),
    ):
        await road.producer.send_bytes("downloaded", key=key, value=value, headers=[("a", b"1")])
    await road.put(7)
    async with processing(road):
        await road.wait_for(1)
        await eventually_found(lambda: len(road.buried.look()) == 5)
    assert Counter((one.key(), one.value()) for one in road.buried.records) == {
        (b"acme", b"\xff not json"): 1,
        (b"acme", None): 1,
        (b"somebody else", foreign): 1,
        (None, foreign): 1,
        (b"acme", elsewhere): 1,
    }
    headers = dict(road.buried.records[0].headers() or [])
    assert headers["a"] == b"1"
    assert headers["__dlq.errors.topic"] == b"downloaded"
    assert [one.index for one in road.outcomes()] == [7]


async def test_a_child_killed_in_the_middle_of_an_image_costs_nothing(road: Road) -> None:
    async with processing(road, children=1):
        await road.put(0)
        await road.wait_for(1)
        (pid,) = decoders_of(os.getpid())
        os.kill(pid, signal.SIGSTOP)
        await road.put(1)
        await road.put(2)
        held = str(road.original(1))
        descriptors = Path("/proc/self/fd")
        await eventually_found(
            lambda: held in {os.path.realpath(one) for one in descriptors.iterdir()}
        )
        os.kill(pid, signal.SIGKILL)
        outcomes = await road.wait_for(3)
    assert {one.status for one in outcomes.values()} == {"ok"}


async def test_an_image_that_hangs_twice_fails_and_leaves_nothing(road: Road) -> None:
    data = await asyncio.to_thread(slow_image)
    async with processing(road, wall_seconds=0.2, children=1):
        await road.put(1, data)
        await road.put(2)
        outcomes = await road.wait_for(2)
    assert outcomes[1].failure == failure(Code.PROCESSING_TIMEOUT)
    assert outcomes[2].status == "ok"
    assert not road.result(1).exists()


async def test_a_store_that_is_away_for_a_while_fails_no_image(road: Road) -> None:
    async with processing(road):
        await road.put(1)
        await road.wait_for(1)
        (road.folder / "public").rename(road.folder / "away")
        await road.put(2)
        await asyncio.sleep(0.3)
        assert len(road.outcomes()) == 1
        (road.folder / "away").rename(road.folder / "public")
        outcomes = await road.wait_for(2)
    assert outcomes[2].status == "ok"


async def test_the_process_killed_in_the_middle_loses_no_image_and_leaves_no_child(
    road: Road,
) -> None:
    images = 20
    photo = saved(Image.effect_noise((2000, 1500), 80).convert("RGB"), "JPEG")
    for index in range(images):
        await road.put(index, photo)
    with processor_process(road) as process:
        await road.wait_for(3)
        children = decoders_of(process.pid)
        assert children
        process.kill()
        process.wait()
    assert len({one.index for one in road.outcomes()}) < images
    await eventually_found(lambda: not any("decode_child" in command_of(one) for one in children))
    with processor_process(road) as process:
        outcomes = await road.wait_for(images)
        await eventually_found(
            lambda: not any(road.original(index).exists() for index in range(images))
        )
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
    assert {one.status for one in outcomes.values()} == {"ok"}
    assert all(road.result(index).exists() for index in range(images))
