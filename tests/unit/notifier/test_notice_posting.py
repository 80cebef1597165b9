"""One attempt, against a real server on loopback: what is sent, and what nothing may reach."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from standardwebhooks import Webhook
from tests.hostile.certificates import NAME, Authority
from tests.unit.notifier.test_notice_attempts import notice

from imagelane.contracts.codec import encode
from imagelane.core.notifying import notify_secret
from imagelane.notifier.posting import Poster
from imagelane.platform.http_guards import AddressInfo, HttpGuardSettings, open_socket

MASTERS = ("n" * 32, "o" * 32)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def poster(
    *,
    allow_http: bool = True,
    addresses: tuple[str, ...] = ("127.0.0.1",),
    ca_file: Path | None = None,
) -> AsyncIterator[Poster]:
    """Nothing but loopback is ever dialled, whatever the guards let through."""

    def only_loopback(info: AddressInfo) -> socket.socket:
        assert info[4][0] == "127.0.0.1"
        return open_socket(info)

    async with Poster(
        HttpGuardSettings(
            allowed_networks=(ip_network("127.0.0.0/8"),),
            allowed_hosts=frozenset({NAME}),
            ca_file=ca_file,
        ),
        [master.encode() for master in MASTERS],
        allow_http=allow_http,
        post_seconds=0.5,
        most_wait_seconds=1_000,
        lookup=lambda _host: addresses,
        open_socket=only_loopback,
    ) as made:
        yield made


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.route("*", "/{path:.*}", handler)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    (address,) = runner.addresses
    yield f"{'https' if tls else 'http'}://{NAME if tls else '127.0.0.1'}:{address[1]}/hook"
    await runner.cleanup()


async def test_the_event_is_posted_as_it_is_with_a_signature_of_each_secret() -> None:
    seen: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        for master in MASTERS:
            whsec = notify_secret(master.encode(), "acme")
            seen.append(Webhook(whsec).verify(body, dict(request.headers)))
        seen.append((request.method, body, request.headers))
        return web.Response(status=202)

    async with serving(take) as url, poster() as one:
        told = replace(notice(), notify_url=url)
        assert (await one.post(told)).result == "2xx"
    first, second, (method, body, headers) = seen
    assert first == second
    assert (method, body) == ("POST", encode(told.finished))  # type: ignore[arg-type] # it has one
    assert headers["webhook-id"] == told.notice_id
    assert headers["Content-Type"] == "application/json"
    assert len(headers["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize(
    ("status", "headers", "result", "wait"),
    [
        (302, {"Location": "http://127.0.0.1/elsewhere"}, "3xx", None),
        (307, {"Location": "/hook"}, "3xx", None),
        (410, {}, "410", None),
        (429, {"Retry-After": "120"}, "4xx", 120.0),
        (503, {"Retry-After": "99999"}, "5xx", 1_000.0),
    ],
)
async def test_an_answer_is_taken_for_what_it_is_and_no_redirect_is_followed(
    status: int, headers: dict[str, str], result: str, wait: float | None
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers=headers)

    async with serving(answer) as url, poster() as one:
        attempt = await one.post(replace(notice(), notify_url=url))
    assert (attempt.result, attempt.retry_after_seconds) == (result, wait)
    assert asked == ["/hook"]


async def test_an_endless_answer_is_not_read() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with serving(endless) as url, poster() as one:
        assert (await one.post(replace(notice(), notify_url=url))).result == "2xx"


async def test_over_tls_only_who_has_the_names_certificate_is_posted_to(tmp_path: Path) -> None:
    async def take(_request: web.Request) -> web.Response:
        return web.Response()

    authority = Authority.made(tmp_path)
    for tls, ca_file, result in (
        (authority.server(), authority.ca_file, "2xx"),
        (authority.server("other.example.com"), authority.ca_file, "tls_error"),
        (authority.server(), None, "tls_error"),
    ):
        async with serving(take, tls) as url, poster(allow_http=False, ca_file=ca_file) as one:
            assert (await one.post(replace(notice(), notify_url=url))).result == result


async def test_silence_and_a_cut_are_told_apart() -> None:
    async def silent(_request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with poster() as one:
        for handler, result in ((silent, "timeout"), (cut, "bad_response")):
            async with serving(handler) as url:
                assert (await one.post(replace(notice(), notify_url=url))).result == result
        nobody = replace(notice(), notify_url="http://127.0.0.1:1/")
        assert (await one.post(nobody)).result == "unreachable"


@pytest.mark.parametrize(
    ("url", "result"),
    [
        ("https://shop.example/hook", "unreachable"),
        ("https://169.254.169.254/latest", "url_refused"),
        ("https://10.0.0.1/hook", "url_refused"),
        ("https://[::ffff:10.0.0.1]/hook", "url_refused"),
        ("https://localhost:9/hook", "unreachable"),
        ("https://kafka/hook", "url_refused"),
        ("https://me:secret@shop.example/", "url_refused"),
        ("https://shop.example:22/", "url_refused"),
        ("ftp://shop.example/", "url_refused"),
        ("http://shop.example/hook", "url_refused"),
        ("nonsense", "url_refused"),
    ],
)
async def test_what_is_internal_is_never_dialled(url: str, result: str) -> None:
    addresses = ("93.184.216.34", "10.0.0.1")
    async with poster(allow_http=False, addresses=addresses) as one:
        assert (await one.post(replace(notice(), notify_url=url))).result == result


async def test_a_lane_is_a_host_and_what_is_not_posted_to_shares_one() -> None:
    async with poster() as one:
        assert one.host_of("https://Shop.example/a") == one.host_of("http://shop.example:8080/b")
        assert one.host_of("nonsense") == one.host_of("https://10.0.0.1/") == ""
