"""A real receiver of OTLP over HTTP on loopback: keeps every span that it takes, or behaves badly."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

HANGS_SECONDS: Final = 3_600.0
Mood = Literal["takes", "refuses", "hangs"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One span, as it came over the wire."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    code: str
    seconds: float
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass(slots=True)
class Collector:
    """`refuses` answers 503, `hangs` answers nobody."""

    mood: Mood = "takes"
    port: int = 0
    requests: int = 0
    spans: list[Seen] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace_id: str) -> list[Seen]:
        return [one for one in self.spans if one.trace_id == trace_id]

    def named(self, name: str) -> list[Seen]:
        return [one for one in self.spans if one.name == name]

    async def take(self, request: web.Request) -> web.Response:
        self.requests += 1
        if self.mood == "hangs":
            await asyncio.sleep(HANGS_SECONDS)
        if self.mood == "refuses":
            return web.Response(status=503)
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.bodies.append(body)
        told = ExportTraceServiceRequest.FromString(body)
        for of_resource in told.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans += [_seen(resource, span) for span in scope.spans]
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


def _seen(resource: dict[str, Any], span: Span) -> Seen:
    failed = span.status.code == span.status.STATUS_CODE_ERROR
    return Seen(
        service=resource["service.name"],
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        code=span.status.message if failed else "",
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        links=tuple((one.trace_id.hex(), one.span_id.hex()) for one in span.links),
        attributes=_values(span.attributes),
        resource=resource,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in pairs}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that listens inside the block."""
    collector = Collector()
    app = web.Application(client_max_size=64 << 20)
    app.add_routes([web.post("/v1/traces", collector.take)])
    server = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        collector.port = server.addresses[0][1]
        yield collector
    finally:
        await server.cleanup()
