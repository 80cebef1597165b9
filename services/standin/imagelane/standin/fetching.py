"""Reading the URLs of a batch, as the real API does: everything it is given, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Final, Literal, Self

import aiohttp

FetchMode = Literal["get", "head", "none"]

JPEG_START: Final = b"\xff\xd8\xff"
CHUNK_BYTES: Final = 64 * 1024
PAUSE_SECONDS: Final = 0.25


class NotNowError(Exception):
    """The server is down or says that it is: worth another try."""


class UnreadableError(Exception):
    """What is at the URL is no image, and will be none."""


@dataclass(slots=True)
class Fetched:
    """What came of the URLs of a batch: failures by their place in it, everything else was read."""

    reasons: dict[int, str] = field(default_factory=dict)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How URLs are read. `patience_seconds`: how long a server may be away before its URL fails."""

    mode: FetchMode = "get"
    concurrency: int = 16
    patience_seconds: float = 10.0
    timeout_seconds: float = 30.0


class Fetcher:
    """Reads URLs with `concurrency` requests at a time per batch. An async context manager."""

    def __init__(self, options: FetchOptions) -> None:
        self._options = options

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._options.timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def fetch_all(self, urls: list[str]) -> Fetched:
        """Reads every URL, whatever becomes of the others."""
        fetched = Fetched()
        if self._options.mode == "none":
            return fetched
        left = iter(enumerate(urls))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._options.concurrency, len(urls))):
                group.create_task(self._work_off(left, fetched))
        return fetched

    async def _work_off(self, left: Iterator[tuple[int, str]], fetched: Fetched) -> None:
        for place, url in left:
            try:
                size = await self._fetch(url)
            except UnreadableError as error:
                fetched.reasons[place] = str(error)
            else:
                fetched.bytes += size  # not in one line with the await: others add meanwhile

    async def _fetch(self, url: str) -> int:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._options.patience_seconds
        while True:
            try:
                if self._options.mode == "head":
                    return await self._head(url)
                return await self._get(url)
            except (
                ValueError
            ) as error:  # aiohttp's InvalidURL, and UnicodeError from odd host names
                raise UnreadableError(f"not a URL: {error}") from error
            except (aiohttp.ClientError, TimeoutError, NotNowError) as error:
                if loop.time() >= give_up_at:
                    raise UnreadableError(f"{type(error).__name__}: {error}") from error
            await asyncio.sleep(PAUSE_SECONDS)

    async def _get(self, url: str) -> int:
        async with self._session.get(url) as response:
            _check_status(response)
            start, size = b"", 0
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                start = start if len(start) >= len(JPEG_START) else start + chunk
                size += len(chunk)
        if not size:
            raise UnreadableError("the body is empty")
        if not start.startswith(JPEG_START):
            raise UnreadableError("the body is no JPEG")
        return size

    async def _head(self, url: str) -> int:
        async with self._session.head(url) as response:
            _check_status(response)
            if not response.content_length:
                raise UnreadableError("the body is empty")
            if response.content_type != "image/jpeg":
                raise UnreadableError(f"the content type is {response.content_type}")
            return response.content_length


def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status in {429, 502, 503, 504}:
        raise NotNowError(f"status {response.status}")
    if response.status != HTTPStatus.OK:
        raise UnreadableError(f"status {response.status}")
