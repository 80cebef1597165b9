"""One image: its original from the store to a decode child, the child's outputs into the store."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Final, Protocol

import structlog

from imagelane.contracts.parts import Failure, Output
from imagelane.core.failures import Code, failure
from imagelane.core.recipes import RECIPES
from imagelane.platform.store import (
    PUBLIC_CACHE_CONTROL,
    ObjectHeaders,
    ObjectStore,
    StoreUnavailableError,
)
from imagelane.processor import messages
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.core.work import ImageWork
from imagelane.processor.decode_process import ChildFailedError
from imagelane.processor.decoders import Decoders

STORE_WAITS_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)


class StoreOfDestination(Protocol):
    """The stores as far as the processor needs them: `Stores`."""

    private: ObjectStore

    def destination(self, name: str) -> ObjectStore:
        """The store behind a destination."""
        ...


class Maker(Protocol):
    """Who makes an image's outputs: an `ImageMaker`."""

    async def make(self, work: ImageWork) -> list[Output] | Failure:
        """Every output, stored; or why there is none."""
        ...


class ImageMaker:
    """Makes the outputs of images. Keeps nothing between two of them."""

    def __init__(self, stores: StoreOfDestination, decoders: Decoders, limits: ImageLimits) -> None:
        self._stores = stores
        self._decoders = decoders
        self._requests = {
            name: messages.encode(messages.Request(recipe.outputs, limits))
            for name, recipe in RECIPES.items()
        }
        self._log = structlog.get_logger("imagelane.processor")

    async def make(self, work: ImageWork) -> list[Output] | Failure:
        """Every output, stored; or why the image has none, and then nothing of it is stored.

        Waits in place while the store is down: nothing else could be stored either. Raises
        `StoreUnavailableError` in the end, and `ObjectMissingError` if there is no original.
        """
        for wait_seconds in STORE_WAITS_SECONDS:
            try:
                return await self._make(work)
            except StoreUnavailableError as error:
                self._log.warning("store.unavailable", error=str(error), again_in=wait_seconds)
            await asyncio.sleep(wait_seconds)
        return await self._make(work)

    async def _make(self, work: ImageWork) -> list[Output] | Failure:
        code = Code.PROCESSING_CRASH
        for fresh in (False, True):  # the first child may have suffered from an earlier image
            try:
                return await self._try(work, fresh=fresh)
            except _RefusedError as refused:
                return failure(refused.code)
            except ChildFailedError as failed:
                code = failed.code
        return failure(code)

    async def _try(self, work: ImageWork, *, fresh: bool) -> list[Output]:
        outputs = work.recipe.outputs
        results = self._stores.destination(work.destination.name)
        async with AsyncExitStack() as files:
            source = await files.enter_async_context(
                self._stores.private.reading(work.original_key)
            )
            targets = [
                await files.enter_async_context(
                    results.writing(
                        work.key(output), ObjectHeaders(output.content_type, PUBLIC_CACHE_CONTROL)
                    )
                )
                for output in outputs
            ]
            sizes = _sizes(
                await self._decoders.decode(
                    self._requests[work.recipe.name], [source, *targets], fresh=fresh
                )
            )
            return [
                work.told(output, width, height, os.fstat(target).st_size)
                for output, target, (width, height) in zip(outputs, targets, sizes, strict=True)
            ]


class _RefusedError(Exception):
    """The child found the image at fault; raised so that the outputs' files are dropped."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


def _sizes(answer: messages.Answer) -> list[tuple[int, int]]:
    if isinstance(answer, messages.Refused):
        raise _RefusedError(answer.code)
    if isinstance(answer, messages.Unwritable):
        raise StoreUnavailableError(f"an output cannot be written: {answer.reason}")
    return answer.sizes
