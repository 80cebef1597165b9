"""The adapter `http` against a real server on loopback that answers right, wrong, late, endlessly or not at all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from imagelane.dispatcher.batch_api import (
    MayNotSendError,
    NewCall,
    UnknownAdapterError,
    open_batch_api,
)
from imagelane.dispatcher.core.answers import (
    Accepted,
    Busy,
    Call,
    CallStatus,
    Denied,
    Found,
    Later,
    NotFound,
    Refused,
    Unclear,
    Unsent,
)
from imagelane.dispatcher.http_batch_api import HttpBatchApi
from imagelane.dispatcher.settings import BatchApiSettings

pytestmark = pytest.mark.slow

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ACTIVE = Call("b-1", CallStatus.ACTIVE, "v1-ours")
RIGHT = b'{"id": "b-1", "customer": "acme", "reference": "v1-ours", "status": "active", "count": 1}'
RIGHT_LIST = b'{"batches": [' + RIGHT + b"]}"
STATUSES = (200, 201, 202, 204, 302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503)
BODIES = ("right", "empty", "other json", "html", "not utf-8", "truncated", "endless", "dripping")
BODILESS = frozenset({204})


@dataclass
class Gate:
    """Lets pass, or not, and remembers who came through."""

    closed: bool = False
    passed: list[str] = field(default_factory=list)

    def before_bytes(self) -> None:
        if self.closed:
            raise MayNotSendError("not ours")
        self.passed.append("before")

    def after_bytes(self) -> None:
        self.passed.append("after")


def new_call(customer: str = "acme", body: bytes | None = None) -> NewCall:
    content = f'{{"customer": "{customer}"}}'.encode() if body is None else body
    return NewCall(customer, "v1-ours", content, lambda: iter(()))


def settings_of(url: str, **changes: Any) -> BatchApiSettings:
    quick: dict[str, Any] = {"start_seconds": 3.0, "look_seconds": 3.0, "max_answer_bytes": 4_096}
    return BatchApiSettings(base_url=url, **{**quick, **changes})


@asynccontextmanager
async def speaking_to(handler: Handler, **changes: Any) -> AsyncIterator[HttpBatchApi]:
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        api = HttpBatchApi(settings_of(str(server.make_url("/v1")), **changes))
        try:
            yield api
        finally:
            await api.close()


async def write_body(
    request: web.Request, response: web.StreamResponse, kind: str, right: bytes
) -> None:
    whole = {
        "right": right,
        "empty": b"",
        "other json": b'[{"id": 3}]',
        "html": b"<html><body>It works!</body></html>",
        "not utf-8": b'{"id": "\xff\xfe"}',
    }
    if kind in whole:
        response.content_length = len(whole[kind])
        await response.prepare(request)
        await response.write(whole[kind])
    elif kind == "truncated":
        response.content_length = len(right)
        await response.prepare(request)
        await response.write(right[: len(right) // 2])
        assert request.transport is not None
        request.transport.close()
    else:
        await response.prepare(request)
        while True:
            await response.write(b" " * (4_096 if kind == "endless" else 1))
            await asyncio.sleep(0.02)


async def misbehave(request: web.Request) -> web.StreamResponse:
    """Answers as the customer's name says: status, body and seconds of delay."""
    body = await request.json() if request.method == "POST" else dict(request.query)
    customer = body.get("customer") or request.path.rpartition("/")[2]
    status, kind, delay = customer.split("|")
    right = RIGHT.replace(b"acme", customer.encode()).replace(b"b-1", customer.encode())
    if request.method == "GET" and request.query:
        right = b'{"batches": [' + right + b"]}"
    await asyncio.sleep(float(delay))
    response = web.StreamResponse(status=int(status))
    if int(status) in BODILESS:
        await response.prepare(request)
    else:
        await write_body(request, response, kind, right)
    return response


def meaning_of_start(status: int, kind: str) -> type[object]:
    if status in (200, 201, 202):
        return Accepted if kind == "right" else Unclear
    by_status = {409: Busy, 429: Later, **dict.fromkeys((400, 413, 422), Refused)}
    denied = dict.fromkeys((302, 401, 403, 404), Denied)
    return {**by_status, **denied}.get(status, Unclear)


def meaning_of_look(status: int, kind: str, *, miss: type[object]) -> type[object]:
    if status in (200, 201, 202):
        return Found if kind == "right" else Unclear
    return {404: miss, 401: Denied, 403: Denied, 429: Later}.get(status, Unclear)


@pytest.mark.parametrize("delay", ["0", "9"])
async def test_every_status_with_every_body_at_any_delay_has_its_meaning(delay: str) -> None:
    cases = list(product(STATUSES, BODIES))
    customers = [f"{status}|{kind}|{delay}" for status, kind in cases]
    patience = {"start_seconds": 4.0, "look_seconds": 4.0, "max_connections": 1_000}
    async with speaking_to(misbehave, **patience) as api:
        started, looked, found = await asyncio.gather(
            asyncio.gather(*(api.start(new_call(one), Gate()) for one in customers)),
            asyncio.gather(*(api.look(one, one) for one in customers)),
            asyncio.gather(*(api.find_by_reference(one, "v1-ours") for one in customers)),
        )
    for (status, kind), start, look, find in zip(cases, started, looked, found, strict=True):
        case = f"{status} {kind} {delay}"
        if delay != "0":
            assert {type(start), type(look), type(find)} == {Unclear}, case
            continue
        assert type(start) is meaning_of_start(status, kind), case
        assert type(look) is meaning_of_look(status, kind, miss=NotFound), case
        assert type(find) is meaning_of_look(status, kind, miss=Unclear), case


class TestStart:
    async def test_the_body_goes_out_as_it_is_under_its_key(self) -> None:
        seen: list[tuple[str, bytes, Any]] = []

        async def take(request: web.Request) -> web.Response:
            seen.append((f"{request.method} {request.path}", await request.read(), request.headers))
            return web.Response(body=RIGHT, status=202)

        gate, body = Gate(), b"0123456789" * 1_000_000
        async with speaking_to(take, start_seconds=20) as api:
            assert await api.start(new_call(body=body), gate) == Accepted(ACTIVE)
        ((route, received, headers),) = seen
        assert (route, received) == ("POST /v1/batches", body)
        assert headers["Idempotency-Key"] == "v1-ours"
        assert headers["Content-Type"] == "application/json"
        assert headers["Content-Length"] == str(len(body))
        assert not {"Authorization", "traceparent"} & {*headers}
        assert gate.passed == ["before", "after"]

    async def test_the_call_s_trace_is_told_with_the_call_and_not_with_looks(self) -> None:
        seen: list[tuple[str, str | None]] = []

        async def take(request: web.Request) -> web.Response:
            seen.append((request.method, request.headers.get("traceparent")))
            return web.Response(body=RIGHT, status=202)

        async with speaking_to(take) as api:
            await api.start(replace(new_call(), traceparent="00-1-2-01"), Gate())
            await api.look("acme", "b-1")
        assert seen == [("POST", "00-1-2-01"), ("GET", None)]

    async def test_a_closed_gate_keeps_every_byte_back(self) -> None:
        seen: list[str] = []

        async def take(request: web.Request) -> web.Response:
            seen.append(request.path)
            return web.Response(body=RIGHT, status=202)

        async with speaking_to(take) as api:
            answer = await api.start(new_call(), Gate(closed=True))
        assert answer == Unsent("not ours")
        assert seen == []

    async def test_where_nobody_listens_nothing_was_sent(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            api = HttpBatchApi(settings_of(f"http://127.0.0.1:{taken.getsockname()[1]}"))
            gate = Gate()
            assert isinstance(await api.start(new_call(), gate), Unsent)
            assert isinstance(await api.look("acme", "b-1"), Unclear)
            assert gate.passed == []
            await api.close()

    async def test_a_deadline_is_told_without_words_that_it_does_not_have(self) -> None:
        over = asyncio.Event()

        async def hang(_request: web.Request) -> web.Response:
            await over.wait()
            return web.Response()

        async with speaking_to(hang, start_seconds=0.5, look_seconds=0.5) as api:
            untold = Unclear("no answer came: TimeoutError")
            assert await api.start(new_call(), Gate()) == untold
            assert await api.look("acme", "b-1") == untold
            over.set()

    async def test_a_reset_after_the_bytes_tells_nothing(self) -> None:
        async def hang_up(request: web.Request) -> web.Response:
            await request.read()
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        async with speaking_to(hang_up) as api:
            assert isinstance(await api.start(new_call(), Gate()), Unclear)
            assert isinstance(await api.look("acme", "b-1"), Unclear)

    async def test_a_reset_amid_the_bytes_tells_nothing(self) -> None:
        async def tear(request: web.Request) -> web.Response:
            await request.content.read(1_000)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        gate, body = Gate(), b"0123456789" * 4_000_000
        async with speaking_to(tear, start_seconds=20) as api:
            assert isinstance(await api.start(new_call(body=body), gate), Unclear)
        assert gate.passed == ["before"]

    async def test_each_call_is_started_on_a_connection_of_its_own(self) -> None:
        peers: dict[str, list[object]] = {"POST": [], "GET": []}

        async def take(request: web.Request) -> web.Response:
            assert request.transport is not None
            peers[request.method].append(request.transport.get_extra_info("peername"))
            return web.Response(body=RIGHT, status=202 if request.method == "POST" else 200)

        async with speaking_to(take) as api:
            for _ in range(3):
                await api.start(new_call(), Gate())
                await api.look("acme", "b-1")
        assert len(set(peers["POST"])) == 3
        assert len(set(peers["GET"])) == 1

    async def test_redirects_are_not_followed(self) -> None:
        seen: list[str] = []

        async def redirect(request: web.Request) -> web.Response:
            seen.append(request.path)
            raise web.HTTPTemporaryRedirect("/elsewhere")

        async with speaking_to(redirect) as api:
            assert isinstance(await api.start(new_call(), Gate()), Denied)
            assert isinstance(await api.look("acme", "b-1"), Unclear)
        assert "/elsewhere" not in seen

    async def test_headers_that_do_not_end_tell_nothing(self) -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 202 Accepted\r\n")
            while not reader.at_eof():
                writer.write(b"X-More: " + b"x" * 1_000 + b"\r\n")
                await asyncio.sleep(0.001)
                await reader.read(1_000)
            writer.transport.abort()
            hung_up.set()

        hung_up = asyncio.Event()
        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        api = HttpBatchApi(
            settings_of(f"http://{host}:{port}/v1", start_seconds=0.5, look_seconds=0.5)
        )
        assert isinstance(await api.start(new_call(), Gate()), Unclear)
        assert isinstance(await api.look("acme", "b-1"), Unclear)
        await api.close()
        await hung_up.wait()
        server.close()


class TestLooks:
    async def test_ids_and_customers_are_encoded(self) -> None:
        seen: list[str] = []

        async def take(request: web.Request) -> web.Response:
            seen.append(request.raw_path)
            return web.Response(body=b"{}")

        async with speaking_to(take, batch_path="/b/{id}/state") as api:
            await api.look("acme", "../a b/ü?x=%41")
            await api.find_by_reference("a&b c/ü", "v1-ours")
        assert seen == [
            "/v1/b/..%2Fa%20b%2F%C3%BC%3Fx%3D%2541/state",
            "/v1/batches?customer=a%26b+c/%C3%BC&reference=v1-ours",
        ]

    async def test_a_long_list_of_failures_is_read(self) -> None:
        failed = ",".join(f'{{"url": "http://i/{index}"}}' for index in range(50_000))
        body = b'{"id": "b-1", "status": "partial", "failed": [' + failed.encode() + b"]}"

        async def take(_request: web.Request) -> web.Response:
            return web.Response(body=body)

        async with speaking_to(take, max_answer_bytes=4 * 1024**2, look_seconds=10) as api:
            answer = await api.look("acme", "b-1")
        assert isinstance(answer, Found)
        assert len(answer.call.failed_urls) == 50_000


class TestToken:
    async def test_a_token_file_is_read_for_every_request(self, tmp_path: Path) -> None:
        async def check(request: web.Request) -> web.Response:
            right = request.headers.get("Authorization") == "Bearer mended"
            return web.Response(body=RIGHT if right else b"", status=202 if right else 401)

        file = tmp_path / "token"
        file.write_text("wrong\n")
        async with speaking_to(check, token_file=file) as api:
            assert isinstance(await api.start(new_call(), Gate()), Denied)
            file.write_text("mended\n")
            assert await api.start(new_call(), Gate()) == Accepted(ACTIVE)
            file.unlink()
            answer = await api.start(new_call(), Gate())
            assert isinstance(answer, Denied)
            assert "IMAGELANE_BATCH_API__TOKEN_FILE" in answer.reason
            assert isinstance(await api.look("acme", "b-1"), Denied)

    async def test_a_token_may_be_given_itself(self) -> None:
        async def check(request: web.Request) -> web.Response:
            assert request.headers["Authorization"] == "Bearer secret"
            return web.Response(body=RIGHT_LIST)

        async with speaking_to(check, token=SecretStr("secret")) as api:
            assert await api.find_by_reference("acme", "v1-ours") == Found(ACTIVE)


class TestAdapters:
    async def test_the_adapter_http_is_found_by_its_name(self) -> None:
        api = open_batch_api(BatchApiSettings(base_url="http://127.0.0.1:1/v1"))
        assert isinstance(api, HttpBatchApi)
        await api.close()

    def test_an_unknown_adapter_is_named(self) -> None:
        with pytest.raises(UnknownAdapterError, match=r"'grpc'.*there is: http"):
            open_batch_api(BatchApiSettings(adapter="grpc"))
