"""Builds the gateway and serves until it is told to stop; the only place that does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from imagelane.gateway.health import Health
from imagelane.gateway.public_files import PublicFiles, PublicFolder
from imagelane.gateway.receiver import MAX_BODY_BYTES, WebhookReceiver
from imagelane.gateway.settings import GatewaySettings, Settings
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import DestinationSettings, SettingsError


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop`. Raises `SettingsError` for a taken port or a secret that is none."""
    secrets = secrets_in(settings.gateway.webhook_secret_files)
    kafka_ms = round(settings.gateway.kafka_seconds * 1_000)
    producer = EventProducer(
        settings.kafka,
        source="/services/gateway",
        overrides={"delivery.timeout.ms": kafka_ms, "linger.ms": 1},
    )
    try:
        receiver = WebhookReceiver(secrets, producer, settings.gateway)
        files = PublicFiles(folders_of(settings.store.destinations))
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(routes(Health(producer), receiver, files))
        async with listening(app, settings.gateway) as url:
            structlog.get_logger("imagelane.gateway").info("gateway.ready", url=url)
            ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait()), receiver.failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if receiver.failed.done():
                receiver.failed.result()
    finally:
        await producer.close()


def routes(health: Health, receiver: WebhookReceiver, files: PublicFiles) -> list[web.RouteDef]:
    """Everything that the gateway answers. `GET` routes answer `HEAD` too."""
    return [
        web.get("/livez", health.live),
        web.get("/readyz", health.ready),
        web.post("/v1/callbacks/batch", receiver.receive),
        web.get("/public/{destination}/{key:.+}", files.serve),
    ]


def folders_of(destinations: Mapping[str, DestinationSettings]) -> dict[str, PublicFolder]:
    """The destinations that lie in a directory; the others are served by their own stores."""
    return {
        name: PublicFolder(one.directory, one.prefix)
        for name, one in destinations.items()
        if one.directory is not None
    }


def secrets_in(files: Sequence[Path]) -> list[Webhook]:
    """The verifiers of the secrets in the files. Raises `SettingsError` that names the file."""
    secrets = []
    for file in files:
        try:
            secrets.append(Webhook(file.read_text().strip()))
        except (OSError, ValueError, EmptyWebhookSecretError) as error:
            raise SettingsError(
                f"IMAGELANE_GATEWAY__WEBHOOK_SECRET_FILES: {file} holds no webhook secret"
                " (`whsec_` and base64)"
            ) from error
    return secrets


@asynccontextmanager
async def listening(app: web.Application, settings: GatewaySettings) -> AsyncIterator[str]:
    """Serves the application inside the block, at the address that it gives."""
    # Request bodies stay as they came: nothing unpacks itself here.
    server = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        lingering_time=1.0,
        shutdown_timeout=5.0,
    )
    await server.setup()
    try:
        await _listen(server, settings)
        yield f"http://{settings.host}:{server.addresses[0][1]}"
    finally:
        await server.cleanup()


async def _listen(server: web.AppRunner, settings: GatewaySettings) -> None:
    try:
        await web.TCPSite(server, settings.host, settings.port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise SettingsError(
            f"IMAGELANE_GATEWAY__PORT: port {settings.port} on {settings.host} is taken;"
            " end what uses it, or choose another"
        ) from error
