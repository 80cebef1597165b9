"""The order of effects for one image, with fakes that remember it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.waiting import eventually

from imagelane.contracts.codec import encode
from imagelane.contracts.events import ImageDownloaded, ImageProcessed
from imagelane.contracts.parts import Failure, Original, Output
from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES
from imagelane.platform.producer import DeliveryError, EventProducer
from imagelane.platform.records import Record
from imagelane.platform.store import ObjectMissingError, StoreUnavailableError
from imagelane.platform.stores import DirectoryStore
from imagelane.platform.tenures import Tenure
from imagelane.platform.work import WorkItem
from imagelane.processor.core.work import ImageWork
from imagelane.processor.pipeline import Pipeline

JOB = "a" * 32
DESTINATIONS = {"main": Destination("main", "", "https://cdn.example")}
OUTPUT = RECIPES["default"].outputs[0]


def downloaded(index: int) -> ImageDownloaded:
    return ImageDownloaded(
        customer_id="acme",
        job_id=JOB,
        index=index,
        url="https://example.com/a.jpg",
        recipe="default",
        destination="main",
        status="ok",
        occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
        seconds=1.0,
        original=Original(key=f"originals/{JOB}/{index}", size_bytes=3, sha256="0" * 64),
    )


def item(event: ImageDownloaded | bytes, *, revoked: bool = False) -> WorkItem:
    value = event if isinstance(event, bytes) else encode(event)
    record = Record("downloaded", 0, 0, b"acme", value, [], 0)
    return WorkItem(record, tenure=Tenure(revoked=revoked))


@dataclass
class Road:
    """Everything around the pipeline. `happened` has all effects in their order."""

    outcome: Callable[[], list[Output] | Failure] = list
    happened: list[str] = field(default_factory=list)
    told: list[ImageProcessed] = field(default_factory=list)
    waiting: asyncio.Queue[WorkItem] = field(default_factory=asyncio.Queue)
    delivery_error: DeliveryError | None = None
    at_work: int = 0
    most_at_work: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self) -> WorkItem:
        return await self.waiting.get()

    def done(self, item: WorkItem) -> None:
        assert item.record.topic == "downloaded"
        self.happened.append("done")

    def unreadable(self) -> None:
        self.happened.append("counted as unreadable")

    async def make(self, work: ImageWork) -> list[Output] | Failure:
        assert work.job_id == JOB
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        await self.gate.wait()
        self.at_work -= 1
        self.happened.append("stored")
        return self.outcome()

    async def send(self, event: ImageProcessed, **_: Any) -> None:
        await asyncio.sleep(0)
        if self.delivery_error is not None:
            raise self.delivery_error
        self.told.append(event)
        self.happened.append("told")

    async def send_bytes(self, topic: str, **_: Any) -> None:
        self.happened.append(f"sent to {topic}")


class Originals(DirectoryStore):
    """A real store that remembers, and can be made to fail."""

    def __init__(self, root: Path, road: Road, *, broken: bool) -> None:
        super().__init__(root)
        self._road = road
        self._broken = broken

    async def delete(self, key: str) -> None:
        if self._broken:
            raise StoreUnavailableError("down")
        await super().delete(key)
        self._road.happened.append("deleted")


@asynccontextmanager
async def processing(
    road: Road, folder: Path, *, broken: bool = False, images_at_once: int = 4
) -> AsyncIterator[asyncio.Task[None]]:
    pipeline = Pipeline(
        road,
        cast(EventProducer, road),
        road,
        Originals(folder, road, broken=broken),
        DESTINATIONS,
        group="g",
        images_at_once=images_at_once,
    )
    running = asyncio.create_task(pipeline.run())
    try:
        yield running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, ExceptionGroup):
            await running


async def processed_one(road: Road, event: WorkItem, folder: Path, *, broken: bool = False) -> None:
    road.gate.set()
    async with processing(road, folder, broken=broken):
        road.waiting.put_nowait(event)
        await eventually(lambda: "done" in road.happened)


async def test_stored_then_told_then_deleted_then_done(tmp_path: Path) -> None:
    road = Road()
    await processed_one(road, item(downloaded(1)), tmp_path)
    assert road.happened == ["stored", "told", "deleted", "done"]
    assert (road.told[0].status, road.told[0].index) == ("ok", 1)


async def test_a_failed_image_is_told_and_its_original_deleted_too(tmp_path: Path) -> None:
    road = Road(outcome=lambda: Failure(code="corrupt", reason="cut off"))
    await processed_one(road, item(downloaded(1)), tmp_path)
    assert road.happened == ["stored", "told", "deleted", "done"]
    assert (road.told[0].status, road.told[0].outputs) == ("failed", UNSET)


async def test_a_failed_download_passes_at_once(tmp_path: Path) -> None:
    road = Road()
    why = Failure(code="not_found", reason="gone")
    event = replace(downloaded(1), status="failed", original=UNSET, failure=why)
    await processed_one(road, item(event), tmp_path)
    assert road.happened == ["told", "done"]
    assert road.told[0].failure == why


async def test_an_original_that_is_gone_was_told_before(tmp_path: Path) -> None:
    def missing() -> list[Output]:
        raise ObjectMissingError("originals/…")

    road = Road(outcome=missing)
    await processed_one(road, item(downloaded(1)), tmp_path)
    assert road.happened == ["stored", "done"]


async def test_an_original_that_cannot_be_deleted_holds_up_nothing(tmp_path: Path) -> None:
    road = Road()
    await processed_one(road, item(downloaded(1)), tmp_path, broken=True)
    assert road.happened == ["stored", "told", "done"]


async def test_an_unreadable_record_is_buried_and_done(tmp_path: Path) -> None:
    road = Road()
    await processed_one(road, item(b"{"), tmp_path)
    assert road.happened == ["sent to dlq.downloaded", "counted as unreadable", "done"]


async def test_a_partition_that_left_is_left_alone(tmp_path: Path) -> None:
    road = Road()
    await processed_one(road, item(downloaded(1), revoked=True), tmp_path)
    assert road.happened == ["done"]


async def test_an_image_whose_partition_left_meanwhile_is_not_told(tmp_path: Path) -> None:
    road = Road()
    taken = item(downloaded(1))
    async with processing(road, tmp_path):
        road.waiting.put_nowait(taken)
        await eventually(lambda: road.at_work == 1)
        taken.tenure.revoked = True
        road.gate.set()
        await eventually(lambda: "done" in road.happened)
    assert road.happened == ["stored", "done"]


@pytest.mark.parametrize(
    "error", [StoreUnavailableError("down for long"), RuntimeError("a bug of ours")]
)
async def test_what_is_not_the_images_fault_ends_the_service_undone(
    tmp_path: Path, error: Exception
) -> None:
    def fail() -> list[Output]:
        raise error

    road = Road(outcome=fail)
    road.gate.set()
    async with processing(road, tmp_path) as running:
        road.waiting.put_nowait(item(downloaded(1)))
        with pytest.raises(ExceptionGroup) as group:
            await running
    assert group.value.exceptions == (error,)
    assert "done" not in road.happened


async def test_an_event_that_kafka_did_not_take_ends_the_service_undone(tmp_path: Path) -> None:
    road = Road(delivery_error=DeliveryError("gone"))
    road.gate.set()
    async with processing(road, tmp_path) as running:
        road.waiting.put_nowait(item(downloaded(1)))
        with pytest.raises(ExceptionGroup):
            await running
    assert road.happened == ["stored"]


async def test_no_more_is_taken_than_may_be_open(tmp_path: Path) -> None:
    road = Road()
    async with processing(road, tmp_path, images_at_once=3):
        for index in range(10):
            road.waiting.put_nowait(item(downloaded(index)))
        await eventually(lambda: road.at_work == 3)
        assert road.waiting.qsize() == 7
        road.gate.set()
        await eventually(lambda: road.happened.count("done") == 10)
    assert road.most_at_work <= 3
