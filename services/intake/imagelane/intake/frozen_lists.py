"""The accepted lists in the private part of the object store, and the two marks beside each.

| key | what its presence says |
|---|---|
| `lists/<job>` | the list is accepted; from here on it is refused no more, and this copy is the truth |
| `lists/<job>.sealed` | every image was requested and `job.sealed` delivered: nothing is left to do |
| `lists/<job>.cancelled` | the customer cancelled the job: nothing more is to be requested |
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from imagelane.contracts.codec import decode, encode
from imagelane.contracts.commands import CancelJob
from imagelane.contracts.topics import COMMANDS
from imagelane.core.recipes import list_key
from imagelane.intake.core.frozen import FrozenHeader, FrozenList, read_header
from imagelane.platform.store import (
    PRIVATE_CACHE_CONTROL,
    ObjectHeaders,
    ObjectMissingError,
    ObjectStore,
)

LIST_HEADERS: Final = ObjectHeaders("application/gzip", PRIVATE_CACHE_CONTROL)
MARK_HEADERS: Final = ObjectHeaders("application/json", PRIVATE_CACHE_CONTROL)


class FrozenLists:
    """Reads and writes them. All methods raise `StoreUnavailableError`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def header(self, job_id: str) -> FrozenHeader | None:
        """The header of an accepted list, or None if there is none."""
        try:
            async with self.reading(job_id) as (header, _):
                return header
        except ObjectMissingError:
            return None

    async def freeze(self, images: FrozenList, header: FrozenHeader) -> bool:
        """Stores the list; False if the job has one already, which then stays as it is."""
        return await self._store.put(
            list_key(header.job_id), images.finish(header), LIST_HEADERS, if_absent=True
        )

    @asynccontextmanager
    async def reading(self, job_id: str) -> AsyncIterator[tuple[FrozenHeader, Iterator[bytes]]]:
        """The header, and the images' lines as they are asked for. Raises `ObjectMissingError`."""
        async with self._store.reading(list_key(job_id)) as descriptor:
            with _unpacked(descriptor) as lines:
                yield read_header(next(lines, b"")), lines

    async def mark_sealed(self, job_id: str) -> None:
        """Nothing of this list is left to do."""
        await self._store.put(f"{list_key(job_id)}.sealed", b"{}\n", MARK_HEADERS)

    async def is_sealed(self, job_id: str) -> bool:
        """Whether nothing of this list is left to do."""
        return await self._store.exists(f"{list_key(job_id)}.sealed")

    async def mark_cancelled(self, command: CancelJob) -> None:
        """Keeps the command, for whichever intake works on the list, now or later."""
        await self._store.put(_cancelled_key(command.job_id), encode(command), MARK_HEADERS)

    async def is_cancelled(self, header: FrozenHeader) -> bool:
        """Whether the list's own customer cancelled it."""
        try:
            kept = await self._store.get(_cancelled_key(header.job_id))
        except ObjectMissingError:
            return False
        command: CancelJob = decode(COMMANDS, kept)
        return command.customer_id == header.customer_id


def _cancelled_key(job_id: str) -> str:
    return f"{list_key(job_id)}.cancelled"


@contextmanager
def _unpacked(descriptor: int) -> Iterator[Iterator[bytes]]:
    with (
        open(descriptor, "rb", closefd=False) as packed,
        gzip.GzipFile(fileobj=packed) as lines,
    ):
        yield iter(lines)
