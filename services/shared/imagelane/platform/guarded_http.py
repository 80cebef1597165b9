"""Fetching files that customers name, images and lists alike, from servers that nobody vouches for.

Two walls keep it from reaching what it must not reach: admission of the URL and of every redirect
(`core/admission.py`), and the check of every address (`http_guards.py`). Limits of size, time and
pace keep a server from holding us.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Self

import aiohttp

from imagelane.core.admission import (
    AdmittedUrl,
    UrlRefusedError,
    admit,
    admit_redirect,
)
from imagelane.core.failures import Code
from imagelane.core.http_answers import OK, REDIRECTS, refusal_of, retry_after_seconds
from imagelane.core.throughput import LeastPace
from imagelane.platform.fetch_errors import (
    FETCH_PROBLEMS,
    FetchError,
    OutOfResourcesError,
    fetch_error,
)
from imagelane.platform.http_floods import FloodProofConnector
from imagelane.platform.http_guards import (
    GuardResolver,
    GuardSocketFactory,
    HttpGuardSettings,
    Lookup,
    OpenSocket,
    open_socket,
    system_lookup,
)

__all__ = ["FetchError", "GuardedBody", "GuardedClient", "HttpGuardSettings", "OutOfResourcesError"]

READ_BUFFER_BYTES: Final = 65_536  # measured: larger ones cost more CPU per image
MAX_HEADER_BYTES: Final = 8_190
MAX_HEADERS: Final = 64
KEEP_ALIVE_SECONDS: Final = 2.0  # idle connections are not limited otherwise


class GuardedBody:
    """A file that a server has begun to send. `chunks` ends after its last byte, or with `FetchError`."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        *,
        max_bytes: int,
        settings: HttpGuardSettings,
        answer_seconds: float,
    ) -> None:
        self._content = response.content
        self._max_bytes = max_bytes
        self._time = asyncio.get_running_loop().time
        self._pace = LeastPace(settings.min_bytes_per_second, settings.pace_seconds, self._time())
        self.final_url = str(response.url)
        self.content_length = response.content_length
        self.content_type = _media_type(response.headers.get("Content-Type"))
        self.answer_seconds = answer_seconds
        self.received_bytes = 0

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they come, never empty, never more than `max_bytes` in all.

        Raises `FetchError` for a body that is too large, too slow, cut off or not valid.
        """
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._content.readany()
        except FETCH_PROBLEMS as error:
            raise fetch_error(error) from error
        if not chunk:
            raise StopAsyncIteration
        self.received_bytes += len(chunk)
        if self.received_bytes > self._max_bytes:
            raise FetchError(Code.TOO_LARGE, detail=f"more than {self._max_bytes} bytes")
        # Silence has its own limit; this is for servers that drip.
        if not self._pace.is_kept(self.received_bytes, self._time()):
            raise FetchError(Code.TOO_SLOW, transient=True)
        return chunk


class GuardedClient:
    """Fetches over pooled connections; an async context manager. One client serves a whole process.

    How many requests run at a time is the caller's affair. `lookup` and `open_socket` are there for
    tests: the guards stand before them.
    """

    def __init__(
        self,
        settings: HttpGuardSettings,
        *,
        lookup: Lookup = system_lookup,
        open_socket: OpenSocket = open_socket,
    ) -> None:
        self.policy = settings.policy()
        self._settings = settings
        self._lookup = lookup
        self._open_socket = open_socket

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._time = asyncio.get_running_loop().time
        self._resolver = GuardResolver(self.policy, self._lookup, settings.lookup_seconds)
        self._session = aiohttp.ClientSession(
            connector=FloodProofConnector(
                ssl=settings.tls(),
                resolver=self._resolver,
                socket_factory=GuardSocketFactory(self.policy, self._open_socket),
                limit=0,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": settings.user_agent},
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()
        await self._resolver.close()  # the connector closes only one of its own

    @asynccontextmanager
    async def stream(
        self, url: str | AdmittedUrl, *, accept: str, max_bytes: int
    ) -> AsyncIterator[GuardedBody]:
        """The file behind the URL, once its server has answered 200 with it. Raises `FetchError`.

        The connection is kept for another request only if the body was read to its end.
        """
        started_at = self._time()
        try:
            first = url if isinstance(url, AdmittedUrl) else admit(url, self.policy)
        except UrlRefusedError as error:
            raise FetchError(error.code, detail=error.detail) from error
        response = await self._final_answer(first, accept, started_at)
        try:
            _check_answer(response, max_bytes)
            yield GuardedBody(
                response,
                max_bytes=max_bytes,
                settings=self._settings,
                answer_seconds=self._time() - started_at,
            )
        finally:
            response.release()  # closes the connection if bytes are still to come

    async def _final_answer(
        self, first: AdmittedUrl, accept: str, started_at: float
    ) -> aiohttp.ClientResponse:
        hop = first
        for _ in range(self._settings.max_redirects + 1):
            response = await self._get(hop, accept, started_at)
            location = response.headers.get("Location")
            if response.status not in REDIRECTS or location is None:
                return response
            response.release()
            try:
                hop = admit_redirect(hop, location, self.policy)
            except UrlRefusedError as error:
                raise FetchError(Code.REDIRECT_REFUSED) from error
        raise FetchError(
            Code.REDIRECT_REFUSED, detail=f"more than {self._settings.max_redirects} redirects"
        )

    async def _get(
        self, hop: AdmittedUrl, accept: str, started_at: float
    ) -> aiohttp.ClientResponse:
        settings = self._settings
        left_seconds = started_at + settings.total_seconds - self._time()
        if left_seconds <= 0:
            raise FetchError(Code.TIMEOUT, transient=True)
        timeout = aiohttp.ClientTimeout(
            total=left_seconds,
            connect=settings.lookup_seconds + settings.connect_seconds,  # all addresses together
            sock_connect=settings.connect_seconds,
            sock_read=settings.read_seconds,
        )
        # A head may drip or be announced for ever (103), which no limit of aiohttp's but `total` ends.
        head_seconds = (timeout.connect or 0.0) + settings.read_seconds
        try:
            async with asyncio.timeout(min(left_seconds, head_seconds)):
                return await self._session.get(
                    hop.url, allow_redirects=False, headers={"Accept": accept}, timeout=timeout
                )
        except FETCH_PROBLEMS as error:
            raise fetch_error(error) from error


def _check_answer(response: aiohttp.ClientResponse, max_bytes: int) -> None:
    if response.status != OK:
        raise _refusal(response)
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise FetchError(Code.BAD_RESPONSE, detail="it came with a content encoding")
    if response.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise FetchError(Code.BAD_RESPONSE, detail="it came with a transfer encoding")
    if (response.content_length or 0) > max_bytes:
        raise FetchError(Code.TOO_LARGE, detail=f"more than {max_bytes} bytes")


def _refusal(response: aiohttp.ClientResponse) -> FetchError:
    wait_seconds = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
    refusal = refusal_of(response.status, asks_to_wait=wait_seconds is not None)
    return FetchError(
        refusal.code,
        transient=refusal.transient,
        retry_after_seconds=wait_seconds,
        detail=refusal.detail,
    )


def _media_type(header: str | None) -> str | None:
    return None if header is None else header.partition(";")[0].strip().lower()
