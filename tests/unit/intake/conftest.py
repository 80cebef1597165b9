"""Accepted lists in a real directory, and everything around them as small fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, UnsetType

from imagelane.contracts.commands import CancelCustomer, CancelJob, DeleteCustomer, DeleteJob
from imagelane.contracts.events import Event, JobFinished, JobSealed
from imagelane.core.destinations import Destination
from imagelane.core.recipes import list_key, original_key
from imagelane.intake.core.entries import entry_of
from imagelane.intake.core.frozen import FrozenHeader, FrozenList
from imagelane.intake.core.marks import Mark
from imagelane.intake.endings import Endings
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.notices import Notices
from imagelane.intake.removal import Removal
from imagelane.platform.directory_store import DirectoryStore
from imagelane.platform.records import Record
from imagelane.platform.store import Listed, ObjectHeaders, ObjectStore, StoreUnavailableError
from imagelane.platform.stores import Stores
from imagelane.platform.work import WorkItem

JPEG = ObjectHeaders("image/jpeg", "public")
RETENTION = timedelta(days=30)
ITEM = WorkItem(Record("commands", 0, 0, None, None, [], 0))


def job_id(letter: str) -> str:
    return letter * 32


class FragileStore:
    """Breaks down at its n-th call, before anything has happened."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.calls_left = -1

    def call(self) -> None:
        if self.calls_left == 0:
            raise StoreUnavailableError("killed here")
        self.calls_left -= 1

    async def put(self, *arguments: Any, **options: Any) -> bool:
        self.call()
        return await self._store.put(*arguments, **options)

    async def get(self, key: str) -> bytes:
        self.call()
        return await self._store.get(key)

    async def exists(self, key: str) -> bool:
        self.call()
        return await self._store.exists(key)

    async def delete(self, key: str) -> None:
        self.call()
        await self._store.delete(key)

    async def delete_folder(self, folder: str) -> None:
        self.call()
        await self._store.delete_folder(folder)

    async def list(self, prefix: str) -> AsyncIterator[Listed]:
        self.call()
        async for one in self._store.list(prefix):
            yield one

    @asynccontextmanager
    async def reading(self, key: str) -> AsyncIterator[int]:
        self.call()
        async with self._store.reading(key) as descriptor:
            yield descriptor


@dataclass
class FakeRoad:
    """Nothing is ever under way, unless somebody says so."""

    is_empty: bool = True
    asked: int = 0

    async def passed(self, _places: set[int], *, given_up: Callable[[], bool]) -> bool:
        self.asked += 1
        return self.is_empty and not given_up()


class FakeFanOut:
    """Every customer has one partition."""

    def partitions_of(self, _customer: str) -> set[int]:
        return {0}


@dataclass
class Told:
    """A producer that keeps what it was given."""

    events: list[Event] = field(default_factory=list)

    async def send(self, event: Event, **_: Any) -> None:
        self.events.append(event)


@dataclass
class Archive:
    """The stores of a deployment, and what is done with them."""

    folder: Path
    road: FakeRoad = field(default_factory=FakeRoad)

    def __post_init__(self) -> None:
        for name in ("private", "public"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.store = FragileStore(DirectoryStore(self.folder / "private"))
        public: Any = DirectoryStore(self.folder / "public")
        private: Any = self.store
        stores = Stores(private, {"default": public})
        self.public = public
        self.lists = FrozenLists(private)
        destinations = {"default": Destination("default", "results/", "https://cdn.example")}
        self.removal = Removal(stores, self.lists, destinations)
        fan_out: Any = FakeFanOut()
        road: Any = self.road
        self.told = Told()
        log: Any = self.told
        self.notices = Notices(log)
        self.endings = Endings(
            self.lists, fan_out, road, self.removal, self.notices, retention=RETENTION
        )

    async def accept(
        self,
        letter: str,
        customer_id: str = "acme",
        *,
        handed_in_at: datetime | None = None,
        deadline: datetime | None = None,
        notify_url: str | UnsetType = UNSET,
    ) -> FrozenHeader:
        """A list of two images, with an original and a result of each."""
        header = FrozenHeader(
            customer_id=customer_id,
            job_id=job_id(letter),
            recipe="default",
            destination="default",
            images=2,
            fingerprint="f",
            accepted_at=datetime.now(UTC),
            handed_in_at=handed_in_at or datetime.now(UTC),
            deadline=UNSET if deadline is None else deadline,
            idempotency_key=f"key {letter}",
            notify_url=notify_url,
        )
        images = FrozenList()
        images.add([entry_of("https://images.example/1.jpg")] * 2)
        assert await self.lists.freeze(images, header)
        for index in range(2):
            await self.store.put(original_key(header.job_id, index), b"o", JPEG)
            await self.public.put(f"results/{header.job_id}/{index}/image.jpg", b"r", JPEG)
        return header

    async def follow(self, event: Any) -> None:
        await self.endings.follow(event, ITEM)

    def objects(self) -> set[str]:
        """Everything that lies in the stores."""
        return {
            str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()
        }

    def objects_of(self, letter: str) -> set[str]:
        return {one for one in self.objects() if job_id(letter) in one}

    def marks_of(self, letter: str, customer_id: str = "acme") -> set[str]:
        key = f"private/{list_key(customer_id, job_id(letter))}"
        return {one.removeprefix(key) for one in self.objects() if one.startswith(key)}


def finished(letter: str, customer_id: str = "acme", at: datetime | None = None) -> JobFinished:
    return JobFinished(
        customer_id=customer_id,
        job_id=job_id(letter),
        images=2,
        delivered=2,
        failed=0,
        cancelled=0,
        occurred_at=at or datetime.now(UTC),
    )


def sealed(header: FrozenHeader) -> JobSealed:
    return JobSealed(
        customer_id=header.customer_id,
        job_id=header.job_id,
        recipe=header.recipe,
        destination=header.destination,
        images=header.images,
        occurred_at=datetime.now(UTC),
    )


def cancel(letter: str, customer_id: str = "acme") -> CancelJob:
    return CancelJob(
        customer_id=customer_id,
        job_id=job_id(letter),
        decided_by="ops",
        occurred_at=datetime.now(UTC),
    )


def delete(letter: str, customer_id: str = "acme", at: datetime | None = None) -> DeleteJob:
    return DeleteJob(
        customer_id=customer_id,
        job_id=job_id(letter),
        decided_by="ops",
        occurred_at=at or datetime.now(UTC),
    )


def cancel_customer(customer_id: str = "acme", at: datetime | None = None) -> CancelCustomer:
    return CancelCustomer(
        customer_id=customer_id, decided_by="ops", occurred_at=at or datetime.now(UTC)
    )


def delete_customer(customer_id: str = "acme", at: datetime | None = None) -> DeleteCustomer:
    return DeleteCustomer(
        customer_id=customer_id, decided_by="ops", occurred_at=at or datetime.now(UTC)
    )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


STOPPED, DELETED, FINISHED = (f".{one}" for one in (Mark.STOPPED, Mark.DELETED, Mark.FINISHED))
