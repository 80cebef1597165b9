"""What the gateway counts and measures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from imagelane.platform.metrics import MOMENTS, MetricList

METRICS: Final = MetricList("gateway")
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")

REQUESTS: Final = METRICS.counter(
    "imagelane_gateway_requests_total",
    "Requests answered, by the route's template (`none` where no route fits) and the status's class.",
    route=(),
    status=CLASSES,
)
SECONDS: Final = METRICS.histogram(
    "imagelane_gateway_request_seconds",
    "From a request's head to its answer, by the route's template. Streams count when they end.",
    MOMENTS,
    route=(),
)
WEBHOOKS: Final = METRICS.counter(
    "imagelane_gateway_webhooks_total",
    "Webhooks of the batch API: `taken` (Kafka has the hint), `not_taken` in time (they come again),"
    " `forged` (401), `unfit` (any other refusal), `unconfigured` (there is no secret).",
    verdict=("taken", "not_taken", "forged", "unfit", "unconfigured"),
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts every request by what became of it; one that its client gave up is a 4xx."""
    resource = request.match_info.route.resource
    route = "none" if resource is None else resource.canonical
    time = asyncio.get_running_loop().time
    began_at, status = time(), 499
    try:
        response = await handler(request)
        status = response.status
    except web.HTTPException as answer:
        status = answer.status
        raise
    except Exception:
        status = 500
        raise
    else:
        return response
    finally:
        REQUESTS.labels(route, CLASSES[status // 100 - 1]).inc()
        SECONDS.labels(route).observe(time() - began_at)
