"""Builds the gateway and serves until it is told to stop; the only place that does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from aiohttp import web
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from imagelane.gateway.access import Access, Route
from imagelane.gateway.core.recent import Recent
from imagelane.gateway.core.submission import Rules
from imagelane.gateway.deciding import Deciding
from imagelane.gateway.deliveries import SOURCE, Deliveries
from imagelane.gateway.health import Health
from imagelane.gateway.limits import Limits
from imagelane.gateway.looking import Looking
from imagelane.gateway.metrics import counted
from imagelane.gateway.notifying import Notifying
from imagelane.gateway.openapi import OpenApi
from imagelane.gateway.problems import as_problems
from imagelane.gateway.public_files import PublicFiles, PublicFolder
from imagelane.gateway.receiver import MAX_BODY_BYTES, WebhookReceiver
from imagelane.gateway.repeats import Repeats
from imagelane.gateway.results import Results
from imagelane.gateway.settings import GatewaySettings, Settings
from imagelane.gateway.signing import Signing
from imagelane.gateway.standstill import Standstill
from imagelane.gateway.status import TrackedStatus
from imagelane.gateway.streams import Streams
from imagelane.gateway.submitting import Submissions
from imagelane.platform.health import serving
from imagelane.platform.key_log import KeyLog
from imagelane.platform.producer import EventProducer
from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import SettingsError
from imagelane.platform.store_settings import DestinationSettings
from imagelane.platform.stores import Stores, destinations_of
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing

SERVICE: Final = "gateway"
WHO_HOLD_LANES: Final = ("batcher", "dispatcher")
RECENT_JOBS: Final = 10_000
RECENT_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands behind the routes."""

    health: Health
    receiver: WebhookReceiver
    files: PublicFiles
    openapi: OpenApi
    submissions: Submissions
    looking: Looking
    results: Results
    streams: Streams
    deciding: Deciding
    notifying: Notifying


MAX_LINE_BYTES: Final = 1 << 15
"""Of a request's first line: 2,048 characters of a URL are up to 24 KB when they are percent-encoded."""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop`. Raises `SettingsError` for a taken port or a secret that is none."""
    gateway = settings.gateway
    secrets = secrets_in(gateway.webhook_secret_files)
    kafka_ms = round(gateway.kafka_seconds * 1_000)
    async with AsyncExitStack() as resources:
        tracing = resources.enter_context(open_tracing(SERVICE, settings.kafka))
        stores = await Stores.open(settings.store)
        resources.push_async_callback(stores.close)
        producer = EventProducer(
            settings.kafka,
            source=SOURCE,
            overrides={"delivery.timeout.ms": kafka_ms, "linger.ms": 1},
        )
        resources.push_async_callback(producer.close)
        keys = KeyLog(settings.kafka)
        resources.push_async_callback(keys.close)
        status = TrackedStatus(settings.database)
        resources.push_async_callback(status.close)
        deliveries = Deliveries(producer, gateway.kafka_seconds, tracing)
        recent = Recent(max_jobs=RECENT_JOBS, max_seconds=RECENT_SECONDS)
        signing = Signing(destinations_of(settings.store).values())
        lanes_topics = TopologyWatch(settings, *WHO_HOLD_LANES)
        looking = Looking(status, recent, signing, Standstill(lanes_topics))
        parts = Parts(
            health=Health(producer),
            receiver=WebhookReceiver(secrets, producer, gateway),
            files=PublicFiles(folders_of(settings.store.destinations)),
            openapi=OpenApi(),
            submissions=Submissions(
                gateway,
                stores.private,
                deliveries,
                Repeats(recent, status),
                Limits(gateway, status),
                rules=Rules(
                    settings.store.destinations,
                    settings.http.policy(),
                    allow_http_notices=settings.notify.allow_http,
                ),
            ),
            looking=looking,
            results=Results(looking, status, signing),
            streams=Streams(gateway, looking, status),
            deciding=Deciding(gateway, looking, status, deliveries),
            notifying=Notifying(settings.notify_signing.masters()),
        )
        topology = TopologyWatch(settings, SERVICE)
        await resources.enter_async_context(serving(settings.health, parts.health, topology))
        app = application(parts, Access(keys))
        url = await resources.enter_async_context(listening(app, gateway))
        structlog.get_logger("imagelane.gateway").info("gateway.ready", url=url)
        await _until(
            stop,
            [parts.health.run(), topology.stand_guard(), lanes_topics.observe()],
            failures=[parts.receiver.failed, deliveries.failed, keys.failed],
        )


async def _until(
    stop: asyncio.Event,
    watches: Sequence[Coroutine[Any, Any, None]],
    *,
    failures: Sequence[asyncio.Future[None]],
) -> None:
    """Returns at `stop`; raises the first failure, for which the process must be started anew."""
    tasks = [asyncio.ensure_future(watch) for watch in watches]
    ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait()), *tasks, *failures]
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for one in done:
        one.result()


def application(parts: Parts, access: Access) -> web.Application:
    """All routes, each behind the key that it asks for."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[counted, as_problems])
    app.add_routes([access.opened(route) for route in routes(parts)])

    async def end_streams(_app: web.Application) -> None:
        await parts.streams.close()

    app.on_shutdown.append(end_streams)
    return app


def routes(parts: Parts) -> list[Route]:
    """Everything that the gateway answers, with the scope that it takes. `GET` routes answer `HEAD` too."""
    looking, deciding = parts.looking, parts.deciding
    job, lane = "/v1/jobs/{job_id}", "/v1/lanes/{customer_id}"
    return [
        Route("GET", "/livez", None, parts.health.live),
        Route("GET", "/readyz", None, parts.health.ready),
        Route("POST", "/v1/callbacks/batch", None, parts.receiver.receive),
        Route("GET", "/public/{destination}/{key:.+}", None, parts.files.serve),
        Route("GET", "/v1/openapi.json", None, parts.openapi.serve),
        Route("POST", "/v1/jobs", "submit", parts.submissions.submit),
        Route("POST", f"{job}/cancel", "submit", deciding.cancel),
        Route("DELETE", job, "submit", deciding.delete),
        Route("GET", "/v1/jobs", "read", looking.jobs),
        Route("GET", job, "read", looking.job),
        Route("GET", f"{job}/trail", "read", looking.job_trail),
        Route("GET", f"{job}/images", "read", looking.images),
        Route("GET", f"{job}/results", "read", parts.results.download),
        Route("GET", f"{job}/events", "read", parts.streams.job),
        Route("GET", "/v1/events", "read", parts.streams.jobs),
        Route("GET", "/v1/images/{image_id}", "read", looking.image),
        Route("GET", "/v1/failures", "read", looking.failures),
        Route("GET", "/v1/freshness", "read", looking.freshness),
        Route("GET", "/v1/notify-secret", "submit", parts.notifying.secret),
        Route("GET", "/v1/lanes", "read", looking.lanes),
        Route("GET", lane, "read", looking.lane),
        Route("GET", f"{lane}/calls", "read", looking.calls),
        Route("POST", f"{lane}/release", "operate", deciding.release),
        Route("GET", "/v1/dead-letters", "operate", looking.dead_letters),
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
            secrets.append(Webhook(read_secret(file)))
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
        max_line_size=MAX_LINE_BYTES,
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
