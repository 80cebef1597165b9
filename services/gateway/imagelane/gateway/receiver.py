"""The webhook receiver: bytes in, verified, a hint on `callbacks`, and only then an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from aiohttp import web
from standardwebhooks import Webhook

from imagelane.contracts.events import CallHinted
from imagelane.gateway.metrics import WEBHOOKS
from imagelane.gateway.problems import RETRY_SECONDS, Kind, Problem
from imagelane.gateway.settings import GatewaySettings
from imagelane.gateway.webhooks import WebhookRefusedError, check_headers, hint_in, verify
from imagelane.platform.producer import DeliveryError

UNAUTHORIZED: Final = 401
MAX_BODY_BYTES: Final = 256 * 1024
QUIET_SECONDS: Final = 10.0
UNAVAILABLE: Final = 503
KINDS: Final = {
    400: Kind.MALFORMED_BODY,
    401: Kind.NOT_SIGNED,
    404: Kind.NOT_FOUND,
    408: Kind.BODY_TOO_SLOW,
    413: Kind.BODY_TOO_LARGE,
    503: Kind.NOT_TAKEN,
}


class Hints(Protocol):
    """What the receiver needs of Kafka; `EventProducer` is one."""

    def send(self, event: CallHinted) -> asyncio.Future[None]:
        """Ends when Kafka has the event, or with `DeliveryError`; raises that when all is lost."""
        ...


class WebhookReceiver:
    """Answers 204 when Kafka has the hint, 503 when it does not in time: the sender comes again.

    `failed` ends when the producer is beyond repair: the process must be started anew.
    """

    def __init__(
        self, secrets: Sequence[Webhook], producer: Hints, settings: GatewaySettings
    ) -> None:
        self._secrets = secrets
        self._producer = producer
        self._settings = settings
        self._log = structlog.get_logger("imagelane.gateway")
        self._quiet_until = 0.0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive(self, request: web.Request) -> web.Response:
        """`POST /v1/callbacks/batch`."""
        if not self._secrets:
            WEBHOOKS.labels("unconfigured").inc()
            return _problem(404, "no webhook secret is configured")
        try:
            check_headers(request.headers, request.content_type)
            body = await self._body_of(request)
            verify(body, request.headers, self._secrets)
            hint = hint_in(body, datetime.now(UTC))
        except WebhookRefusedError as error:
            WEBHOOKS.labels("forged" if error.status == UNAUTHORIZED else "unfit").inc()
            self._warn("webhook.refused", status=error.status, reason=str(error))
            return _problem(error.status, str(error))
        try:
            sent = self._producer.send(hint)
        except DeliveryError as error:
            WEBHOOKS.labels("not_taken").inc()
            if not self.failed.done():
                self.failed.set_exception(error)
            return _problem(503, "not now")
        try:
            async with asyncio.timeout(self._settings.kafka_seconds):
                await sent
        except (DeliveryError, TimeoutError) as error:
            WEBHOOKS.labels("not_taken").inc()
            self._warn("webhook.not_taken", reason=str(error) or "Kafka takes too long")
            return _problem(503, "not now")
        WEBHOOKS.labels("taken").inc()
        return web.Response(status=204)

    async def _body_of(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                return await request.read()
        except TimeoutError as error:
            raise WebhookRefusedError(408, "the body takes too long") from error
        except web.HTTPRequestEntityTooLarge as error:
            raise WebhookRefusedError(
                413, f"the body has more than {MAX_BODY_BYTES} bytes"
            ) from error

    def _warn(self, event: str, **told: str | int) -> None:
        # At most one line in ten seconds: anybody can send us forgeries.
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            self._log.warning(event, **told)


def _problem(status: int, error: str) -> web.Response:
    later = RETRY_SECONDS if status == UNAVAILABLE else None
    return Problem(KINDS[status], error, retry_after_seconds=later).answer()
