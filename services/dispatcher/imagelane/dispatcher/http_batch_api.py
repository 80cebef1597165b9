"""The default adapter: the reference contract (`batch-api.openapi.yaml`) over HTTP."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import quote

import aiohttp
import structlog
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload
from yarl import URL

from imagelane.dispatcher.batch_api import Gate, MayNotSendError, NewCall
from imagelane.dispatcher.core import http_answers as http
from imagelane.dispatcher.core.answers import Denied, LookAnswer, StartAnswer, Unclear, Unsent
from imagelane.dispatcher.settings import BatchApiSettings
from imagelane.platform.secret_files import read_secret

CHUNK_BYTES: Final = 64 * 1024
LARGE_BYTES: Final = 256 * 1024
"""A longer answer is taken apart in a thread, so that the other lanes go on meanwhile."""
LARGE_ANSWERS: Final = 4
"""So many of those are read and held in memory at a time."""
MAX_WORDS_CHARS: Final = 200

# What aiohttp raises for what a server does: not all of it is a ClientError.
EXCHANGE_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError, AssertionError)

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after: str | None
    body: bytes | None


class _GatedBody(BytesIOPayload):
    """Passes the gate between the connection's making and the first byte; headers wait for it too."""

    def __init__(self, body: bytes, gate: Gate) -> None:
        super().__init__(io.BytesIO(body), content_type="application/json")
        self._gate = gate
        self.began = False
        self.refusal = ""

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Writes the whole body, or nothing at all."""
        try:
            self._gate.before_bytes()
        except MayNotSendError as error:
            self.refusal = str(error)
            raise
        self.began = True
        await super().write_with_length(writer, content_length)
        self._gate.after_bytes()


class TokenUnreadableError(Exception):
    """The file with the bearer token cannot be read now."""

    def __init__(self) -> None:
        super().__init__("the file of IMAGELANE_BATCH_API__TOKEN_FILE cannot be read")


class HttpBatchApi:
    """Belongs to the running event loop. Follows no redirects, and trusts no answer."""

    def __init__(self, settings: BatchApiSettings) -> None:
        self._settings = settings
        self._log = structlog.get_logger("imagelane.batch_api")
        # A connection that the server is just closing would make a request's fate unknown, so each
        # call is started on a fresh one. Looks may be repeated, and keep theirs.
        self._starts = _session(settings, force_close=True)
        self._looks = _session(settings, force_close=False)
        self._large = asyncio.Semaphore(LARGE_ANSWERS)

    async def start(self, call: NewCall, gate: Gate) -> StartAnswer:
        """Posts the batch, with its reference as Idempotency-Key."""
        expected = http.Expected(call.customer_id, call.reference)
        body = _GatedBody(call.body, gate)
        url = self._settings.base_url + self._settings.batches_path
        deadline = asyncio.get_running_loop().time() + self._settings.start_seconds
        try:
            headers = {"Idempotency-Key": call.reference, **self._authorization()}
            if call.traceparent is not None:
                headers["traceparent"] = call.traceparent
            async with asyncio.timeout_at(deadline):
                response = await self._starts.post(
                    url, data=body, headers=headers, allow_redirects=False
                )
        except TokenUnreadableError as error:
            return Denied(str(error))
        except EXCHANGE_ERRORS as error:
            why = body.refusal or f"no answer came: {_words(error)}"
            return Unclear(why) if body.began else Unsent(why)

        def meaning(answer: _Answer) -> StartAnswer:
            return http.start_answer(
                answer.status, answer.retry_after, answer.body, call=expected, now=_now()
            )

        return await self._understood(response, deadline, meaning)

    async def look(self, customer_id: str, call_id: str) -> LookAnswer:
        """Gets the batch."""
        path = self._settings.batch_path.replace("{id}", quote(call_id, safe=""))

        def meaning(answer: _Answer) -> LookAnswer:
            return http.look_answer(
                answer.status,
                answer.retry_after,
                answer.body,
                call_id=call_id,
                customer_id=customer_id,
                now=_now(),
            )

        return await self._get(path, {}, meaning)

    async def find_by_reference(self, customer_id: str, reference: str) -> LookAnswer:
        """Lists the customer's batches of this reference."""
        expected = http.Expected(customer_id, reference)

        def meaning(answer: _Answer) -> LookAnswer:
            return http.find_answer(
                answer.status, answer.retry_after, answer.body, call=expected, now=_now()
            )

        query = {"customer": customer_id, "reference": reference}
        return await self._get(self._settings.batches_path, query, meaning)

    async def close(self) -> None:
        """Ends all connections."""
        await self._starts.close()
        await self._looks.close()

    async def _get(
        self, path: str, query: dict[str, str], meaning: Callable[[_Answer], LookAnswer]
    ) -> LookAnswer:
        url = URL(self._settings.base_url + path, encoded=True)
        deadline = asyncio.get_running_loop().time() + self._settings.look_seconds
        try:
            headers = self._authorization()
            async with asyncio.timeout_at(deadline):
                response = await self._looks.get(
                    url, params=query, headers=headers, allow_redirects=False
                )
        except TokenUnreadableError as error:
            return Denied(str(error))
        except EXCHANGE_ERRORS as error:
            return Unclear(f"no answer came: {_words(error)}")
        return await self._understood(response, deadline, meaning)

    async def _understood(
        self,
        response: aiohttp.ClientResponse,
        deadline: float,
        meaning: Callable[[_Answer], A],
    ) -> A:
        async with AsyncExitStack() as room:
            body = await self._body(response, deadline, room)
            answer = _Answer(response.status, response.headers.get("Retry-After"), body)
            if body is not None and len(body) > LARGE_BYTES:
                return await asyncio.to_thread(meaning, answer)
            return meaning(answer)

    async def _body(
        self, response: aiohttp.ClientResponse, deadline: float, room: AsyncExitStack
    ) -> bytes | None:
        """The whole body, or None if it is cut off, too long or too late. A large one takes room first."""
        body = bytearray()
        is_large = False
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    body += chunk
                    if len(body) > self._settings.max_answer_bytes:
                        return None
                    if len(body) > LARGE_BYTES and not is_large:
                        await room.enter_async_context(self._large)
                        is_large = True
        except EXCHANGE_ERRORS as error:
            self._log.warning("answer.unreadable", status=response.status, error=_words(error))
            return None
        finally:
            response.close()
        return bytes(body)

    def _authorization(self) -> dict[str, str]:
        token = self._settings.token.get_secret_value() if self._settings.token else None
        if self._settings.token_file is not None:
            try:
                token = read_secret(self._settings.token_file)
            except (OSError, UnicodeError) as error:
                raise TokenUnreadableError from error
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def _session(settings: BatchApiSettings, *, force_close: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=settings.max_connections, force_close=force_close),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _words(error: BaseException) -> str:
    """Its name, and what it says: a deadline says nothing more."""
    return ": ".join(filter(None, (type(error).__name__, str(error))))[:MAX_WORDS_CHARS]
