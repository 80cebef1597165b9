"""One try for one image: its bytes from the server into the store, hashed on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from imagelane.contracts.parts import Original
from imagelane.core.admission import AdmittedUrl
from imagelane.core.failures import Code
from imagelane.core.image_formats import HEAD_BYTES, ImageFormat, format_of
from imagelane.platform.fetch_errors import FetchError
from imagelane.platform.guarded_http import GuardedBody, GuardedClient
from imagelane.platform.store import (
    PRIVATE_CACHE_CONTROL,
    ObjectHeaders,
    ObjectStore,
    StoreUnavailableError,
)

ACCEPT: Final = "image/*, */*;q=0.8"
HEADERS: Final = ObjectHeaders("application/octet-stream", PRIVATE_CACHE_CONTROL)
LOGIN_PAGES: Final = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was stored, and how long the server took to its first byte."""

    original: Original
    answer_seconds: float


class OriginalFetcher:
    """Fetches images into the private part of the store. Keeps nothing between two of them."""

    def __init__(
        self,
        client: GuardedClient,
        store: ObjectStore,
        *,
        max_image_bytes: int,
        formats: frozenset[ImageFormat],
    ) -> None:
        self._client = client
        self._store = store
        self._max_image_bytes = max_image_bytes
        self._formats = formats

    async def fetch(self, url: AdmittedUrl, key: str) -> Fetched:
        """Streams the image to `key`: memory holds a chunk of it, whatever its size.

        Raises `FetchError`, and `StoreUnavailableError` where our own store is at fault. Either way
        nothing is stored.
        """
        async with self._client.stream(url, accept=ACCEPT, max_bytes=self._max_image_bytes) as body:
            if body.content_type in LOGIN_PAGES:
                raise FetchError(Code.NOT_AN_IMAGE)
            chunks = body.chunks()
            head = await _head_of(chunks)
            if format_of(head) not in self._formats:
                raise FetchError(Code.NOT_AN_IMAGE)
            sha256 = hashlib.sha256(head)
            async with self._store.writing(key, HEADERS) as descriptor:
                _write(descriptor, head)
                async for chunk in chunks:
                    sha256.update(chunk)
                    _write(descriptor, chunk)
            return Fetched(_original(key, body, sha256.hexdigest()), body.answer_seconds)


async def _head_of(chunks: AsyncIterator[bytes]) -> bytes:
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    return head


def _original(key: str, body: GuardedBody, sha256: str) -> Original:
    return Original(key=key, size_bytes=body.received_bytes, sha256=sha256)


def _write(descriptor: int, data: bytes) -> None:
    """To the page cache or to memory, so on the event loop: a thread's round trip costs more."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        raise StoreUnavailableError(f"an original cannot be written: {error}") from error
