"""The gateway's HTTP API from the other side: requests out, answers in, and what went wrong in a sentence."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import msgspec

from imagelane.ops.client.connection import Connection
from imagelane.ops.client.core.answers import Page, Problem, UnreadableAnswerError, read

CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 60.0
MAX_ANSWER_BYTES: Final = 64 << 20
PAGE_ITEMS: Final = 1_000
FAILED, WRONG_USAGE = 1, 2
WRONG: Final = frozenset({400, 413, 415, 422})
PASSING: Final = frozenset({408, 429})
PROBLEM: Final = "application/problem+json"
KEY_SAYS: Final[dict[int, str]] = {
    401: "the gateway does not take the API key in",
    403: "this is not open to the API key in",
}
OPTIONS: Final = {
    "customer_id": "--customer",
    "recipe": "--recipe",
    "destination": "--destination",
    "deadline": "--deadline",
    "notify_url": "--notify-url",
    "list_format": "--list-format",
    "list_column": "--list-column",
    "list_url": "SOURCE",
    "file": "SOURCE",
    "urls": "SOURCE",
    "Idempotency-Key": "--idempotency-key",
    "status": "--status",
    "code": "--code",
    "text": "--text",
    "limit": "--limit",
    "note": "--note",
}
"""What the API's parameters are called here."""
Params = Mapping[str, str | None]


class GatewayError(Exception):
    """Something was not done; the message says what and why. `exit_code` is the command's."""

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class NotFoundError(GatewayError):
    """There is no such thing, or it is another customer's."""


class PassingError(GatewayError):
    """It may go well in a moment: no connection, 408, 429, 5xx. `after_seconds` is what the gateway asks for."""

    def __init__(self, text: str, after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.after_seconds = after_seconds


class Gateway:
    """One gateway, for the block. Everything raises `GatewayError`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={
                "Authorization": f"Bearer {self._connection.key.get_secret_value()}",
                "User-Agent": "imagelane-cli",
            }
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()

    async def get(self, path: str, params: Params | None = None) -> bytes:
        """The answer's body."""
        return await self.send("GET", path, params=params)

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a good answer."""
        async with self.answer(method, path, params=params, data=data, headers=headers) as response:
            return await _whole(response)

    async def items(
        self, path: str, params: Params | None = None, *, limit: int | None = None
    ) -> AsyncIterator[msgspec.Raw]:
        """The items of a list, page by page behind the scenes; not more than `limit`."""
        wanted = dict(params or {})
        left = limit
        while left is None or left > 0:
            wanted["limit"] = str(PAGE_ITEMS if left is None else min(left, PAGE_ITEMS))
            page = read(await self.get(path, wanted), Page)
            for item in page.items:
                yield item
            left = None if left is None else left - len(page.items)
            if page.next_cursor is None:
                return
            wanted["cursor"] = page.next_cursor

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer, to be read inside the block; one that breaks off in it is told, too."""
        try:
            async with self._session.request(
                method,
                f"{self._connection.url}{path}",
                params={name: text for name, text in (params or {}).items() if text is not None},
                data=data,
                headers=headers,
                allow_redirects=False,  # a key is for the gateway that was named
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
                ),
            ) as response:
                if not response.ok or response.status >= HTTPStatus.MULTIPLE_CHOICES:
                    raise await self._refusal(response)
                yield response
        except aiohttp.ClientConnectorError as error:
            raise PassingError(
                f"no gateway answers at {self._connection.url} ({_reason(error)});"
                " --gateway or IMAGELANE_GATEWAY_URL names it"
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PassingError(
                f"the connection to {self._connection.url} broke off ({_reason(error)})"
            ) from error

    async def _refusal(self, response: aiohttp.ClientResponse) -> GatewayError:
        status, url = response.status, self._connection.url
        if response.content_type != PROBLEM:
            text = f"{url} answers {status} ({response.content_type})"
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return PassingError(text, retry_after(response.headers.get("Retry-After")))
            return GatewayError(f"{text}: is it an Imagelane gateway? --gateway names it")
        problem = read(await _whole(response), Problem)
        why = problem.detail or problem.title
        if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _passing(status, why, response)
        if status == HTTPStatus.NOT_FOUND:
            return NotFoundError(f"{why}, or it is another customer's")
        if status in KEY_SAYS:
            return GatewayError(f"{KEY_SAYS[status]} {self._connection.key_from}: {why}")
        return GatewayError(_named(problem, why), WRONG_USAGE if status in WRONG else FAILED)


def quoted(text: str) -> str:
    """As a part of a path."""
    return quote(text, safe="")


def retry_after(header: str | None) -> float | None:
    """What the header says, in seconds from now: a number, or an HTTP date."""
    if header is None:
        return None
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _passing(status: int, why: str, response: aiohttp.ClientResponse) -> PassingError:
    after = retry_after(response.headers.get("Retry-After"))
    when = "" if after is None else f"; it asks to come again in {after:.0f} s"
    begin = {
        408: "the gateway gave up waiting for the list",
        429: "the gateway takes no more at this moment",
        503: "the gateway cannot do it now",
    }.get(status, f"the gateway answers {status}")
    return PassingError(f"{begin}: {why}{when}", after)


def _named(problem: Problem, why: str) -> str:
    if problem.field is None:
        return why
    field = re.split(r"[.\[]", problem.field, maxsplit=1)[0]
    option = OPTIONS.get(field)
    if option is None:
        return f"{problem.field}: {why}"
    within = problem.field.removeprefix(field)
    return f"{option}{within}: {why}"


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it is silent"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer ends in the middle"
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    told = inner.strerror if isinstance(inner, OSError) else str(error)
    return told or str(error) or type(error).__name__


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise UnreadableAnswerError("the answer is far too long for one of this API")
    return bytes(body)
