"""Lists that were uploaded to the gateway: it put them into the private store, and the event names their hash.

Where such a list lies follows from the deployment secret, the customer, the idempotency key and the hash, so
an event leads to what was uploaded with this very submission, whoever wrote it, and to nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code
from imagelane.core.identity import UPLOADS, upload_key
from imagelane.intake.core.frozen import FrozenList
from imagelane.intake.core.lists import ListLimits, ListReader, shape_of
from imagelane.intake.core.refusals import ListRefusedError
from imagelane.platform.store import ObjectMissingError, ObjectStore


class UploadedLists:
    """Reads them, and forgets them once the list is frozen or refused."""

    def __init__(self, store: ObjectStore, limits: ListLimits, *, secret: bytes) -> None:
        self._store = store
        self._limits = limits
        self._secret = secret

    async def images(self, submitted: ListSubmitted) -> FrozenList:
        """The list's images, ready to be frozen. Raises `ListRefusedError`, also for one that is gone."""
        reader = ListReader(self._limits, shape_of(submitted, content_type=None, final_url=""))
        try:
            return await read_list(self._store.stream(self._key(submitted)), reader)
        except ObjectMissingError as error:
            raise ListRefusedError(
                Code.LIST_UNREADABLE, "the uploaded list is not there any more; hand it in again"
            ) from error

    async def forget(self, submitted: ListSubmitted) -> None:
        """The decision is made: nothing of the upload is needed any more."""
        if submitted.upload_sha256 is not UNSET:
            await self._store.delete(self._key(submitted))

    async def forget_older(self, than: datetime) -> int:
        """Removes uploads that were put before and that nobody came for. How many."""
        removed = 0
        async for one in self._store.list(f"{UPLOADS}/"):
            if one.modified_at < than:
                await self._store.delete(one.key)
                removed += 1
        return removed

    def _key(self, submitted: ListSubmitted) -> str:
        sha256, key = submitted.upload_sha256, submitted.idempotency_key
        if sha256 is UNSET or key is UNSET:
            raise ValueError("not an upload: `read_submission` sees to that")
        return upload_key(self._secret, submitted.customer_id, key, sha256)


async def read_list(chunks: AsyncIterator[bytes], reader: ListReader) -> FrozenList:
    """All of it, while others go on: a small chunk may unpack to much."""
    images = FrozenList()
    async for chunk in chunks:
        for entries in reader.feed(chunk):
            images.add(entries)
            await asyncio.sleep(0)
    for entries in reader.finish():
        images.add(entries)
    return images
