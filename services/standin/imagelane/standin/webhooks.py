"""Calling back: signed as Standard Webhooks say, repeated with back-off until a 2xx answer."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from standardwebhooks import Webhook

from imagelane.standin.contract import Batch
from imagelane.standin.journal import Journal

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 10.0


class WebhookSender:
    """Sends `batch.finished`. An async context manager; without a secret it sends nothing."""

    def __init__(self, secret: str | None, journal: Journal) -> None:
        self._webhook = Webhook(secret) if secret else None
        self._journal = journal

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
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

    async def send(
        self, batch: Batch, callback_url: str, *, copies: int = 1, once: bool = False
    ) -> None:
        """Tells of the batch as it is given; returns when each copy was taken with a 2xx answer.

        With `once` there is one attempt, whatever comes of it.
        """
        if self._webhook is None:
            return
        event = {
            "type": "batch.finished",
            "timestamp": datetime.now(UTC).isoformat(),
            "data": batch.shown(),
        }
        body = msgspec.json.encode(event).decode()
        message_id = f"msg-{uuid.uuid4().hex}"
        for _ in range(copies):
            pause_seconds = FIRST_PAUSE_SECONDS
            while not (
                await self._attempt(self._webhook, message_id, body, batch.id, callback_url) or once
            ):
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    async def _attempt(
        self, webhook: Webhook, message_id: str, body: str, batch_id: str, url: str
    ) -> bool:
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(message_id, now, body),
        }
        status, trouble = 0, ""
        try:
            async with self._session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            trouble = f"{type(error).__name__}: {error}"
        self._journal.write(
            "webhook", batch=batch_id, message=message_id, status=status, trouble=trouble
        )
        return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
