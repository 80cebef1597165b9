"""Looks at public URLs as everybody can: over the network, without credentials."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final, Self

import aiohttp
import structlog

from imagelane.contracts.parts import Failure, Output
from imagelane.core.destinations import Destination
from imagelane.platform.store import StoreUnavailableError
from imagelane.processor.core.work import ImageWork
from imagelane.processor.maker import Maker
from imagelane.processor.metrics import UNREADABLE_RESULTS

ANSWER_SECONDS: Final = 10.0
OK: Final = 200
WAITS_SECONDS: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


class PublicLook:
    """An HTTP client for our own public URLs; an async context manager.

    Redirects are not followed: the URL itself must serve the object. There are no guards as for
    customers' URLs, since the addresses are the operator's.
    """

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()

    async def trouble_with(
        self, url: str, *, size_bytes: int, content: bytes | None = None, is_signed: bool = False
    ) -> str:
        """Why the URL does not serve the object, or an empty string; `content` is compared if given.

        A signed one is signed for GET, so its body begins to come, and is not read.
        """
        method = "HEAD" if content is None and not is_signed else "GET"
        try:
            async with self._session.request(method, url, allow_redirects=False) as answer:
                if answer.status != OK:
                    return f"it answers {answer.status}"
                if content is not None and await answer.content.read(size_bytes + 1) != content:
                    return "it serves something else"
                if content is None and answer.content_length not in (None, size_bytes):
                    return f"it serves {answer.content_length} bytes instead of {size_bytes}"
        except (aiohttp.ClientError, OSError, ValueError) as error:  # with it TimeoutError
            return str(error) or type(error).__name__
        return ""


class VerifyingMaker:
    """Has outputs made, and says so only when each can be read at its public URL."""

    def __init__(self, maker: Maker, look: PublicLook) -> None:
        self._maker = maker
        self._look = look
        self._log = structlog.get_logger("imagelane.processor")

    async def make(self, work: ImageWork) -> list[Output] | Failure:
        """As the maker's own. Raises `StoreUnavailableError` when an output stays unreadable for long.

        No image is at fault then, so it must not fail: the process leaves, and the image is made again.
        """
        made = await self._maker.make(work)
        if not isinstance(made, Failure):
            await asyncio.gather(*(self._verify(output, work.destination) for output in made))
        return made

    async def _verify(self, output: Output, destination: Destination) -> None:
        for wait_seconds in (*WAITS_SECONDS, None):
            trouble = await self._look.trouble_with(
                destination.readable(output.url, datetime.now(UTC)),
                size_bytes=output.size_bytes,
                is_signed=destination.presigner is not None,
            )
            if not trouble:
                return
            UNREADABLE_RESULTS.inc()
            self._log.warning("result.unreadable", url=output.url, error=trouble)
            if wait_seconds is None:
                raise StoreUnavailableError(
                    f"{output.url} cannot be read, though it is stored: {trouble}"
                )
            await asyncio.sleep(wait_seconds)
