"""One attempt: the event, signed, to a URL that nobody vouches for.

The same two walls as before every fetch: admission of the URL, and the check of every address. No redirect is
followed, and nothing of the answer is read but its head.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Self

import aiohttp
from standardwebhooks import Webhook

from imagelane.contracts.codec import encode
from imagelane.contracts.notices import NoticeRecorded, NoticeResult
from imagelane.core.admission import UrlRefusedError
from imagelane.core.failures import Code
from imagelane.core.http_answers import retry_after_seconds
from imagelane.core.notifying import admit_notify_url
from imagelane.notifier.core.attempts import Attempt, attempt_of, event_in
from imagelane.platform.fetch_errors import FETCH_PROBLEMS, fetch_error
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
from imagelane.platform.notify_settings import secrets_of

MAX_HEADER_BYTES: Final = 8_190
MAX_HEADERS: Final = 64
KEEP_ALIVE_SECONDS: Final = 2.0
WITHOUT_ANSWER: Final[dict[Code, NoticeResult]] = {
    Code.TIMEOUT: "timeout",
    Code.UNREACHABLE: "unreachable",
    Code.TLS_ERROR: "tls_error",
}


class Poster:
    """Posts over pooled connections; an async context manager.

    `lookup` and `open_socket` are there for tests: the guards stand before them.
    """

    def __init__(
        self,
        http: HttpGuardSettings,
        masters: Sequence[bytes],
        *,
        allow_http: bool,
        post_seconds: float,
        most_wait_seconds: float,
        lookup: Lookup = system_lookup,
        open_socket: OpenSocket = open_socket,
    ) -> None:
        self._policy = http.policy()
        self._allow_http = allow_http
        self._masters = masters
        self._http = http
        self._most_wait_seconds = most_wait_seconds
        self._timeout = aiohttp.ClientTimeout(
            total=post_seconds, sock_connect=min(post_seconds, http.connect_seconds)
        )
        self._lookup = lookup
        self._open_socket = open_socket

    async def __aenter__(self) -> Self:
        self._resolver = GuardResolver(self._policy, self._lookup, self._http.lookup_seconds)
        self._session = aiohttp.ClientSession(
            connector=FloodProofConnector(
                ssl=self._http.tls(),
                resolver=self._resolver,
                socket_factory=GuardSocketFactory(self._policy, self._open_socket),
                limit=0,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._http.user_agent, "Content-Type": "application/json"},
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()
        await self._resolver.close()  # the connector closes only one of its own

    def host_of(self, url: str) -> str:
        """Whose lane the URL belongs to; the empty one's for a URL that is not posted to anyway."""
        try:
            return admit_notify_url(url, self._policy, allow_http=self._allow_http).host
        except UrlRefusedError:
            return ""

    async def post(self, notice: NoticeRecorded) -> Attempt:
        """Posts it once. Raises `OutOfResourcesError` for what is no receiver's fault."""
        try:
            url = admit_notify_url(
                notice.notify_url or "", self._policy, allow_http=self._allow_http
            ).url
        except UrlRefusedError:
            return Attempt("url_refused")
        body = encode(event_in(notice))
        headers = signed(notice, body, datetime.now(UTC), self._masters)
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                asked = answer.headers.get("Retry-After")
                now = datetime.now(UTC)
                wait = retry_after_seconds(asked, now, most_seconds=self._most_wait_seconds)
                return attempt_of(answer.status, wait)
        except FETCH_PROBLEMS as error:
            return Attempt(WITHOUT_ANSWER.get(fetch_error(error).code, "bad_response"))


def signed(
    notice: NoticeRecorded, body: bytes, now: datetime, masters: Sequence[bytes]
) -> dict[str, str]:
    """The headers of Standard Webhooks, with one signature for each of the customer's secrets."""
    whsecs = secrets_of(masters, notice.customer_id)
    return {
        "webhook-id": notice.notice_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Webhook(one).sign(notice.notice_id, now, body.decode()) for one in whsecs
        ),
    }
