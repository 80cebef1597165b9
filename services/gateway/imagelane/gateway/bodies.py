"""Bodies of submissions, read as they come: bounded in size, in time, in pace and in number.

What is read lies in a temporary file without a name until it is whole, so a connection that breaks
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from imagelane.gateway.core.submission import LineCount
from imagelane.gateway.problems import Kind, Problem
from imagelane.gateway.settings import GatewaySettings

CHUNK_BYTES: Final = 65_536
MAX_SMALL_BYTES: Final = 65_536
BUSY_SECONDS: Final = 2
Read = Callable[[], Awaitable[bytes]]


class Meter:
    """One request's body: every read goes through here. Raises `Problem` 400, 408 or 413."""

    def __init__(self, request: web.Request, settings: GatewaySettings) -> None:
        self._settings = settings
        self._time = asyncio.get_running_loop().time
        self._ends_at = self._time() + settings.upload_seconds
        self._checked_at = self._time()
        self._checked_bytes = 0
        self.read_bytes = 0
        if (request.content_length or 0) > settings.max_list_bytes:
            raise self._too_large()

    async def read(self, read: Read) -> bytes:
        """The next piece; empty at the end."""
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                piece = await read()
        except TimeoutError as error:
            raise _too_slow() from error
        except (aiohttp.ClientPayloadError, BadHttpMessage, ValueError) as error:
            raise Problem(Kind.MALFORMED_BODY, "the body breaks off or is not valid") from error
        self.read_bytes += len(piece)
        if self.read_bytes > self._settings.max_list_bytes:
            raise self._too_large()
        self._check_pace()
        return piece

    async def pieces(self, read: Read) -> AsyncIterator[bytes]:
        """Piece by piece to the end."""
        while piece := await self.read(read):
            yield piece

    def _check_pace(self) -> None:
        now = self._time()
        seconds = now - self._checked_at
        if now > self._ends_at:
            raise _too_slow()
        if seconds >= self._settings.body_seconds:
            if (
                self.read_bytes - self._checked_bytes
                < self._settings.min_bytes_per_second * seconds
            ):
                raise _too_slow()
            self._checked_at, self._checked_bytes = now, self.read_bytes

    def _too_large(self) -> Problem:
        most = self._settings.max_list_bytes
        return Problem(Kind.BODY_TOO_LARGE, f"it may have {most:,} bytes", code="list_too_large")


async def small_body(request: web.Request, settings: GatewaySettings) -> bytes:
    """A body that is not a list. Raises `Problem` as `Meter`, and for more than 64 KiB."""
    meter = Meter(request, settings)
    body = bytearray()
    async for piece in meter.pieces(request.content.readany):
        body += piece
        if len(body) > MAX_SMALL_BYTES:
            raise Problem(Kind.BODY_TOO_LARGE, f"it may have {MAX_SMALL_BYTES:,} bytes")
    return bytes(body)


class Spool:
    """A list on its way, in a file without a name; its hash and lines are known when it is whole."""

    def __init__(self, file: BinaryIO, lines: LineCount) -> None:
        self.file = file
        self._hash = hashlib.sha256()
        self._lines = lines
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """The next piece."""
        self.file.write(piece)
        self._hash.update(piece)
        self._lines.feed(piece)
        self.size_bytes += len(piece)

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._hash.hexdigest()

    @property
    def lines(self) -> int | None:
        """As `LineCount.lines`."""
        return self._lines.lines


@contextmanager
def spooled(lines: LineCount) -> Iterator[Spool]:
    """A spool that is gone after the block."""
    with tempfile.TemporaryFile() as file:
        yield Spool(file, lines)


class BodySlots:
    """So many bodies at a time, and so many of one customer. Who finds none comes again soon."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._taken: Counter[str] = Counter()

    @contextmanager
    def slot(self, customer_id: str) -> Iterator[None]:
        """Raises `Problem` 429 where there is none."""
        if self._taken[customer_id] >= self._settings.bodies_per_customer:
            raise _busy("this customer hands in several lists at this moment")
        if self._taken.total() >= self._settings.bodies:
            raise _busy("others hand in lists at this moment")
        self._taken[customer_id] += 1
        try:
            yield
        finally:
            self._taken[customer_id] -= 1
            if not self._taken[customer_id]:
                del self._taken[customer_id]


def _busy(detail: str) -> Problem:
    return Problem(Kind.TOO_MANY, detail, retry_after_seconds=BUSY_SECONDS)


def _too_slow() -> Problem:
    return Problem(Kind.BODY_TOO_SLOW, "the body comes too slowly, or stopped coming")
