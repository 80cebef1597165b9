"""A real decode child, and files handed to it one after the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageStat

from imagelane.core.failures import Code
from imagelane.core.image_formats import ImageFormat
from imagelane.core.recipes import RECIPES
from imagelane.processor import messages
from imagelane.processor.decoders import Decoders
from imagelane.processor.settings import ProcessorSettings

SETTINGS: Final = ProcessorSettings(children=1)
ALL_FORMATS: Final = ProcessorSettings(children=1, formats=frozenset(ImageFormat))
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one file: the code or the result, and the child's CPU time for it."""

    code: Code | None
    result: bytes
    cpu_seconds: float

    @property
    def picture(self) -> Image.Image:
        """The result."""
        image = Image.open(BytesIO(self.result), formats=["JPEG"])
        image.load()
        return image

    def is_coloured(self, colour: tuple[int, int, int], within: float = 4) -> bool:
        """All of it, on the whole."""
        mean = ImageStat.Stat(self.picture.convert("RGB")).mean
        return all(abs(a - b) <= within for a, b in zip(mean, colour, strict=True))


class Booth:
    """One child, and files handed to it one after the other."""

    def __init__(self, decoders: Decoders, settings: ProcessorSettings) -> None:
        self._decoders = decoders
        self._requests = {
            name: messages.encode(messages.Request(recipe.outputs, settings.limits()))
            for name, recipe in RECIPES.items()
        }
        self._first = self.pid

    @property
    def pid(self) -> int:
        """The child's."""
        (child,) = self._decoders.running
        return child.process.pid

    @property
    def is_the_same_child(self) -> bool:
        """No file has cost the first one its life."""
        return self.pid == self._first

    async def try_(self, data: bytes, recipe: str = "default") -> Seen:
        """As the maker would, without second tries."""
        before = self._cpu_seconds()
        answer, result = await _hand_over(self._decoders, self._requests[recipe], data)
        spent = self._cpu_seconds() - before
        assert isinstance(answer, messages.Made | messages.Refused), answer
        code = answer.code if isinstance(answer, messages.Refused) else None
        assert (code is None) == bool(result), "a failure leaves nothing behind"
        return Seen(code, result, spent)

    def most_memory_bytes(self) -> int:
        """The most that the child has held in its life, what it shares with others included."""
        status = (Path("/proc") / str(self.pid) / "status").read_text()
        (line,) = (one for one in status.splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1_024

    def _cpu_seconds(self) -> float:
        return int((Path("/proc") / str(self.pid) / "schedstat").read_text().split()[0]) / 1e9


async def _hand_over(
    decoders: Decoders, request: bytes, data: bytes
) -> tuple[messages.Answer, bytes]:
    source, target = os.memfd_create("source"), os.memfd_create("target")
    try:
        os.write(source, data)
        return await decoders.decode(request, [source, target]), os.pread(target, 1 << 26, 0)
    finally:
        os.close(source)
        os.close(target)


@asynccontextmanager
async def booth(settings: ProcessorSettings = SETTINGS) -> AsyncIterator[Booth]:
    """With one child of these settings."""
    decoders = Decoders(settings.decoders())
    running = asyncio.create_task(decoders.run())
    try:
        request = messages.encode(messages.Request(RECIPES["default"].outputs, settings.limits()))
        await _hand_over(decoders, request, b"")  # answered when the child is there
        yield Booth(decoders, settings)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
