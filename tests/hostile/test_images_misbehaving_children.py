"""Rows I12 and I13: children that crash, hang, flood, fork, leak or lie cost their image, and no other.

The children are real processes behind the real walls, fed by the real maker on a real directory; only
what they do with certain images is the test's (`misbehaving_child.py`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Final

import msgspec
import pytest
from PIL import Image
from tests.hostile import misbehaving_child
from tests.hostile.conftest import ShowRow
from tests.waiting import eventually

from imagelane.contracts.parts import Failure, Output
from imagelane.core.destinations import Destination
from imagelane.core.failures import Code
from imagelane.core.recipes import RECIPES, original_key
from imagelane.platform.store import ObjectHeaders
from imagelane.platform.stores import DirectoryStore, Stores
from imagelane.processor import decode_process
from imagelane.processor.core.work import ImageWork
from imagelane.processor.decoders import DecoderPolicy, Decoders
from imagelane.processor.maker import ImageMaker
from imagelane.processor.settings import ProcessorSettings

SETTINGS: Final = ProcessorSettings(
    children=2, wall_seconds=2, cpu_seconds=1, max_pixels=4_000_000, memory_bytes=256 << 20
)
POLICY: Final = SETTINGS.decoders()
NEIGHBOURS: Final = 12
START_SECONDS: Final = 15.0
"""More than two fresh children take on two busy cores."""
JOB: Final = "e" * 32
HEADERS: Final = ObjectHeaders("application/octet-stream", "no-store")
CODES: Final[dict[str, Code | None]] = {
    "waits_for_ever": Code.PROCESSING_TIMEOUT,
    "loops_in_c": Code.PROCESSING_TIMEOUT,
    "floods_standard_output": None,  # nobody listens there
    "answers_twice": None,  # the first answer is as good as any
}
MISBEHAVIOURS: Final = sorted(misbehaving_child.MISBEHAVIOURS)


def photo() -> bytes:
    file = BytesIO()
    Image.effect_noise((64, 48), 80).convert("RGB").save(file, "JPEG")
    return file.getvalue()


PHOTO: Final = photo()


@dataclass(frozen=True, slots=True)
class Workshop:
    """A maker with children that misbehave when they are told to."""

    decoders: Decoders
    maker: ImageMaker
    stores: Stores
    public: Path

    async def make(self, index: int, data: bytes) -> list[Output] | Failure:
        key = original_key(JOB, index)
        await self.stores.private.put(key, data, HEADERS)
        return await self.maker.make(
            ImageWork(
                JOB, index, key, RECIPES["default"], Destination("main", "", "https://cdn.example")
            )
        )

    def pids(self) -> set[int]:
        return {child.process.pid for child in self.decoders.running}

    def descendants(self) -> set[int]:
        """Every process below this one, however far."""
        return _below(os.getpid())


def _below(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                found |= {int(child)} | _below(int(child))
    return found


@asynccontextmanager
async def workshop(tmp_path: Path, policy: DecoderPolicy = POLICY) -> AsyncIterator[Workshop]:
    private, public = tmp_path / "private", tmp_path / "public"
    private.mkdir()
    public.mkdir()
    stores = Stores(DirectoryStore(private), {"main": DirectoryStore(public)})
    decoders = Decoders(policy)
    running = asyncio.create_task(decoders.run())
    try:
        await eventually(lambda: len(decoders.running) == policy.children)
        yield Workshop(decoders, ImageMaker(stores, decoders, SETTINGS.limits()), stores, public)
        assert not running.done(), "the supervisor has to outlive whatever its children do"
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def codes(outcomes: Sequence[list[Output] | Failure]) -> list[str | None]:
    return [one.code if isinstance(one, Failure) else None for one in outcomes]


@pytest.fixture(autouse=True)
def _children_that_can_misbehave(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("-I", str(Path(misbehaving_child.__file__)))
    monkeypatch.setattr(decode_process, "COMMAND", command)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_it_costs_its_own_image_and_no_other(
    name: str, tmp_path: Path, show_row: ShowRow
) -> None:
    async with workshop(tmp_path) as shop:
        before = shop.descendants()
        began_at = asyncio.get_running_loop().time()
        images = [PHOTO] * NEIGHBOURS
        images.insert(NEIGHBOURS // 2, misbehaving_child.MARK + name.encode())
        outcomes = await asyncio.gather(*(shop.make(n, one) for n, one in enumerate(images)))
        seconds = asyncio.get_running_loop().time() - began_at

        expected: list[str | None] = [None] * NEIGHBOURS
        expected.insert(NEIGHBOURS // 2, CODES.get(name, Code.PROCESSING_CRASH))
        assert codes(outcomes) == expected
        assert seconds < 2 * SETTINGS.wall_seconds + START_SECONDS
        await eventually(lambda: len(shop.pids()) == POLICY.children)
        assert len(shop.descendants()) == len(before)
        assert (
            codes(await asyncio.gather(*(shop.make(n, PHOTO) for n in range(100, 104))))
            == [None] * 4
        )
    assert not misbehaving_child.ON_DISK.exists()
    show_row(
        "I12", f"a child that {name.replace('_', ' ')}", "neighbours ok", str(expected[6] or "ok")
    )


async def test_neighbours_of_a_hanging_image_are_not_late(
    tmp_path: Path, show_row: ShowRow
) -> None:
    """One of two children waits out its time; the other does everybody else's work meanwhile."""
    async with workshop(tmp_path) as shop:
        hanging = asyncio.create_task(shop.make(1_000, misbehaving_child.MARK + b"waits_for_ever"))
        await eventually(lambda: any(child.images for child in shop.decoders.running))
        outcomes = await asyncio.gather(*(shop.make(n, PHOTO) for n in range(30)))
        assert not hanging.done(), "all neighbours are through before the hanging one has failed"
        assert codes(outcomes) == [None] * 30
        assert codes([await hanging]) == [Code.PROCESSING_TIMEOUT]
    show_row("I12", "30 neighbours of a hanging image", "through before it failed", "")


async def test_a_leak_ends_with_the_childs_share_of_images(
    tmp_path: Path, show_row: ShowRow
) -> None:
    """What a library leaks goes with its child: no child does more than its share of images."""
    policy = replace(
        POLICY,
        images_per_child=20,
        confinement=msgspec.structs.replace(POLICY.confinement, memory_bytes=256 << 20),
    )
    async with workshop(tmp_path, policy) as shop:
        seen: set[int] = set()
        for _ in range(10):
            await asyncio.gather(*(shop.make(n, PHOTO) for n in range(10)))
            assert all(child.images <= 20 for child in shop.decoders.running)
            seen |= shop.pids()
        assert len(seen) >= 5
    show_row("I13", "100 images, 20 for each child", f"{len(seen)} children", "")
