"""The guarded client against real servers on loopback, most of them hostile.

Rows U, R and B are those of the table of hostile input. A tripwire stands in for every socket: a
connection to an address that is not loopback fails the test, whatever the client makes of it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from yarl import URL

from imagelane.core.admission import AdmittedUrl
from imagelane.core.failures import Code
from imagelane.platform.fetch_errors import FetchError
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings
from imagelane.platform.http_guards import AddressInfo, GuardResolver, system_lookup

MAX_BYTES = 1_000_000
JPEG = b"\xff\xd8\xff\xe0" + bytes(1_000)
QUICK: dict[str, Any] = {
    "allowed_networks": ("127.0.0.1/32",),
    "lookup_seconds": 0.3,
    "connect_seconds": 1.0,
    "read_seconds": 0.5,
    "total_seconds": 0.8,
    "pace_seconds": 0.3,
}

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(
    body: bytes = JPEG, *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Server:
    """Answers each request by `answer`, which gets the connection; remembers what it was asked."""

    answer: Answer
    port: int = 0
    speaks_first: bool = False
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/image.jpg"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while not writer.is_closing():
                if not self.speaks_first:
                    self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                await self.answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def stop(self) -> None:
        for task in self.tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, self.tasks), return_exceptions=True)


def says(*answers: bytes, then_close: bool = False) -> Answer:
    """Sends one answer after the other, the last one for ever."""
    left = list(answers)

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()
        if then_close:
            writer.close()

    return answer


def drips(first: bytes, drop: bytes, every_seconds: float) -> Answer:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(every_seconds)

    return answer


Serve = Callable[[Answer], Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(answer: Answer) -> Server:
            server = Server(answer)
            stack.push_async_callback(server.stop)
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            stack.callback(listening.close)
            server.port = listening.sockets[0].getsockname()[1]
            return server

        yield start


@pytest.fixture
def dialled() -> Iterator[list[str]]:
    """The addresses that sockets were opened for. Any but loopback fails the test."""
    addresses: list[str] = []
    yield addresses
    assert all(ip_address(one).is_loopback for one in addresses), addresses


@dataclass
class Names:
    """What names resolve to; an exception instead of addresses is raised."""

    known: dict[str, Sequence[str] | OSError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        found = self.known.get(host, socket.gaierror(socket.EAI_NONAME, "no such name"))
        if isinstance(found, OSError):
            raise found
        return found


@pytest.fixture
def names() -> Names:
    return Names()


Connect = Callable[..., Awaitable[GuardedClient]]


@pytest.fixture
async def connect(dialled: list[str], names: Names) -> AsyncIterator[Connect]:
    opened: list[GuardedClient] = []

    def tripwire(info: AddressInfo) -> socket.socket:
        address = str(info[4][0])
        dialled.append(address)
        if not ip_address(address).is_loopback:
            raise OSError("tripwire")
        return socket.socket(*info[:3])

    async def start(**settings: Any) -> GuardedClient:
        client = GuardedClient(
            HttpGuardSettings(**(QUICK | settings)), lookup=names, open_socket=tripwire
        )
        opened.append(await client.__aenter__())
        return client

    yield start
    for client in opened:
        await client.__aexit__(None, None, None)


@pytest.fixture
async def client(connect: Connect) -> GuardedClient:
    return await connect()


async def fetch(client: GuardedClient, url: str | AdmittedUrl, max_bytes: int = MAX_BYTES) -> bytes:
    async with client.stream(url, accept="image/*", max_bytes=max_bytes) as body:
        return b"".join([chunk async for chunk in body.chunks()])


async def failure(
    client: GuardedClient, url: str | AdmittedUrl, max_bytes: int = MAX_BYTES
) -> FetchError:
    with pytest.raises(FetchError) as failed:
        await fetch(client, url, max_bytes)
    return failed.value


async def test_a_file_is_fetched_with_what_its_headers_say(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response(JPEG, "Content-Type: Image/JPEG; charset=x")))
    async with client.stream(server.url, accept="image/*", max_bytes=MAX_BYTES) as body:
        assert body.content_type == "image/jpeg"
        assert body.content_length == len(JPEG)
        assert body.final_url == server.url
        assert b"".join([chunk async for chunk in body.chunks()]) == JPEG
        assert body.received_bytes == len(JPEG)
    request = server.requests[0].decode()
    assert "Accept: image/*\r\n" in request
    assert "Accept-Encoding: identity\r\n" in request
    assert "User-Agent: Imagelane/0.1\r\n" in request


async def test_a_chunked_body_is_put_together(client: GuardedClient, serve: Serve) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in JPEG) + b"0\r\n\r\n"
    server = await serve(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks))
    assert await fetch(client, server.url) == JPEG


async def test_connections_are_kept_for_the_next_file(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response()))
    for _ in range(5):
        assert await fetch(client, server.url) == JPEG
    assert server.connections == 1


async def test_path_and_query_are_sent_as_they_were_written(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response()))
    await fetch(client, f"http://127.0.0.1:{server.port}/%41%2f../b%0d%0aX:1?sig=%2Fa+b#fragment")
    assert server.requests[0].startswith(b"GET /%41%2f../b%0d%0aX:1?sig=%2Fa+b HTTP/1.1\r\n")


# Rows U: the two walls

LITERALS = [
    "http://127.0.0.2/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.2]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://10.0.0.1/",
    "http://①②⑦.⓪.⓪.②/",
]


@pytest.mark.parametrize("url", LITERALS)
async def test_a_forbidden_address_is_neither_looked_up_nor_dialled(
    client: GuardedClient, dialled: list[str], names: Names, url: str
) -> None:
    failed = await failure(client, url)
    assert (failed.code, failed.transient, failed.detail) == (Code.UNREACHABLE, False, "")
    assert (dialled, names.asked) == ([], [])


@pytest.mark.parametrize("url", [one for one in LITERALS if "①" not in one])
async def test_the_socket_refuses_what_admission_would_have_let_through(
    client: GuardedClient, dialled: list[str], url: str
) -> None:
    slipped_through = AdmittedUrl(URL(url), URL(url).raw_host or "", 80)
    assert (await failure(client, slipped_through)).code is Code.UNREACHABLE
    assert dialled == []


async def test_a_refused_url_is_refused_before_any_look_up(
    client: GuardedClient, dialled: list[str], names: Names
) -> None:
    failed = await failure(client, "http://user:password@example.com/")
    assert failed.code is Code.URL_REFUSED
    assert "password" in failed.detail
    assert (dialled, names.asked) == ([], [])


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["127.0.0.1", "127.0.0.2"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%eth0"],
        ["64:ff9b::7f00:1"],
    ],
)
async def test_a_name_with_any_forbidden_address_looks_like_one_that_does_not_resolve(
    client: GuardedClient, dialled: list[str], names: Names, addresses: list[str]
) -> None:
    names.known["example.com."] = addresses
    blocked = await failure(client, "http://example.com/")
    missing = await failure(client, "http://missing.example.com/")
    assert (blocked.code, blocked.transient, blocked.detail) == (Code.UNREACHABLE, False, "")
    assert (missing.code, missing.transient, missing.detail) == (Code.UNREACHABLE, False, "")
    assert dialled == []


async def test_a_name_is_looked_up_once_per_connection_and_without_search_domains(
    client: GuardedClient, dialled: list[str], names: Names, serve: Serve
) -> None:
    server = await serve(says(response()))
    names.known["localhost"] = ["127.0.0.1"]
    await fetch(client, f"http://localhost:{server.port}/")
    assert names.asked == ["localhost"]
    assert dialled == ["127.0.0.1"]
    await failure(client, "http://kafka.prod/")
    assert names.asked == ["localhost", "kafka.prod."]


async def test_a_kept_connection_is_used_and_a_new_one_is_checked_again(
    connect: Connect, names: Names, serve: Serve
) -> None:
    server = await serve(says(response()))
    names.known["images"] = ["127.0.0.1"]
    url = f"http://images:{server.port}/"
    client = await connect(allowed_hosts=["images"])
    await fetch(client, url)
    names.known["images"] = ["127.0.0.2"]
    await fetch(client, url)
    assert server.connections == 1
    other = await connect(allowed_hosts=["images"])
    assert (await failure(other, url)).code is Code.UNREACHABLE


async def test_only_a_few_addresses_of_a_name_are_used_and_both_families_are_among_them() -> None:
    policy = HttpGuardSettings(allowed_networks=(ip_network("127.0.0.0/8"),)).policy()
    many = [f"2606:4700::{number}" for number in range(1, 200)] + ["127.0.0.1"] * 2 + ["127.0.0.2"]
    resolver = GuardResolver(policy, lambda _: many, 1.0)
    found = await resolver.resolve("example.com", 80)
    assert [one["host"] for one in found] == [many[0], "127.0.0.1", many[1], "127.0.0.2"]
    await resolver.close()


async def test_a_name_server_that_fails_may_answer_later(
    client: GuardedClient, names: Names
) -> None:
    names.known["example.com."] = socket.gaierror(socket.EAI_AGAIN, "try again")
    failed = await failure(client, "http://example.com/")
    assert (failed.code, failed.transient) == (Code.UNREACHABLE, True)


async def test_a_name_server_that_hangs_is_not_waited_for(dialled: list[str]) -> None:
    released = threading.Event()

    def hang(_host: str) -> list[str]:
        released.wait(10)
        return ["8.8.8.8"]

    async with GuardedClient(HttpGuardSettings(lookup_seconds=0.1), lookup=hang) as client:
        failed = await failure(client, "http://example.com/")
        released.set()
    assert (failed.code, failed.transient) == (Code.TIMEOUT, True)
    assert dialled == []


async def test_a_closed_port_may_open_later(client: GuardedClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failed = await failure(client, f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert (failed.code, failed.transient) == (Code.UNREACHABLE, True)


def test_the_system_resolves_names_and_addresses() -> None:
    assert "127.0.0.1" in system_lookup("127.0.0.1")


# Rows R


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["301 a", "302 b", "303 c", "307 d", "308 e"])
async def test_a_relative_redirect_is_followed(
    client: GuardedClient, serve: Serve, status: str
) -> None:
    server = await serve(says(redirect("../other.jpg?a=1", status), response()))
    assert await fetch(client, server.url) == JPEG
    assert server.requests[1].startswith(b"GET /other.jpg?a=1 ")
    assert server.connections == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/",
        "//169.254.169.254/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://u:p@127.0.0.1/",
        "http://example.com:6379/",
        "http://127.0.0.2/",
        "http://kafka/",
        "//[::1/",
        "http://127.0.0.1\\@example.com/",
        "/" + "a" * 8_001,
    ],
)
async def test_a_redirect_to_where_no_url_may_lead_is_refused(
    client: GuardedClient, serve: Serve, names: Names, location: str
) -> None:
    server = await serve(says(redirect(location)))
    failed = await failure(client, server.url)
    assert (failed.code, failed.transient) == (Code.REDIRECT_REFUSED, False)
    assert (len(server.requests), names.asked) == (1, [])


async def test_a_redirect_to_a_name_with_a_forbidden_address_is_blocked(
    client: GuardedClient, serve: Serve, names: Names, dialled: list[str]
) -> None:
    names.known["rebound.example.com."] = ["127.0.0.2"]
    server = await serve(says(redirect("http://rebound.example.com/")))
    assert (await failure(client, server.url)).code is Code.UNREACHABLE
    assert dialled == ["127.0.0.1"]


async def test_a_circle_ends_after_four_redirects(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(redirect("/image.jpg")))
    assert (await failure(client, server.url)).code is Code.REDIRECT_REFUSED
    assert len(server.requests) == 5


async def test_the_whole_time_counts_for_all_redirects_together(
    connect: Connect, serve: Serve
) -> None:
    async def slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(redirect("/again"))

    server = await serve(slowly)
    failed = await failure(await connect(total_seconds=0.5), server.url)
    assert (failed.code, failed.transient) == (Code.TIMEOUT, True)
    assert len(server.requests) <= 3


@pytest.mark.parametrize("status", [101, 199, 204, 206, 300, 302, 304, 305])
async def test_only_200_is_a_file(client: GuardedClient, serve: Serve, status: int) -> None:
    head = f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    server = await serve(says(head.encode(), then_close=True))
    failed = await failure(client, server.url)
    assert failed.code in {Code.BAD_RESPONSE, Code.TIMEOUT}


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (401, Code.HTTP_REFUSED, False),
        (403, Code.HTTP_REFUSED, False),
        (404, Code.NOT_FOUND, False),
        (407, Code.HTTP_REFUSED, False),
        (410, Code.NOT_FOUND, False),
        (429, Code.RATE_LIMITED, True),
        (500, Code.HTTP_ERROR, True),
        (503, Code.HTTP_ERROR, True),
    ],
)
async def test_a_refusal_has_its_code_and_keeps_the_connection(
    client: GuardedClient, serve: Serve, status: int, code: Code, transient: bool
) -> None:
    challenge = ("WWW-Authenticate: Basic realm=x", "Set-Cookie: a=b")
    server = await serve(says(response(b"no", *challenge, status=f"{status} No")))
    for _ in range(2):
        failed = await failure(client, server.url)
        assert (failed.code, failed.transient) == (code, transient)
        assert failed.detail == f"status {status}"
    assert server.connections == 1
    assert not any(b"Cookie" in one or b"Authorization" in one for one in server.requests)


async def test_retry_after_is_told(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response(b"", "Retry-After: 3", status="503 Later")))
    failed = await failure(client, server.url)
    assert (failed.code, failed.retry_after_seconds) == (Code.RATE_LIMITED, 3.0)


# Rows B: bodies, headers, and everything else a server can do wrong


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "aws-chunked"])
async def test_a_content_encoding_is_refused_unread(
    client: GuardedClient, serve: Serve, encoding: str
) -> None:
    server = await serve(says(response(JPEG, f"Content-Encoding: {encoding}")))
    assert (await failure(client, server.url)).code is Code.BAD_RESPONSE


async def test_a_body_that_ends_early_is_cut_off(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response(length=10_000), then_close=True))
    failed = await failure(client, server.url)
    assert (failed.code, failed.transient) == (Code.BAD_RESPONSE, True)


async def test_bytes_beyond_the_length_are_never_the_next_file(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response(JPEG + response(b"evil"), length=len(JPEG))))
    for _ in range(3):
        try:
            assert await fetch(client, server.url) == JPEG
        except FetchError as failed:
            assert failed.code is Code.BAD_RESPONSE  # noqa: PT017 # either is right, a third is not


async def test_an_endless_body_is_left_at_the_limit(client: GuardedClient, serve: Serve) -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = await serve(drips(head, chunk, 0))
    for connections in (1, 2):
        assert (await failure(client, server.url)).code is Code.TOO_LARGE
        assert server.connections == connections


async def test_a_body_that_says_it_is_too_large_is_not_read(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response(b"", length=10_000_000_000)))
    failed = await failure(client, server.url)
    assert (failed.code, failed.detail) == (Code.TOO_LARGE, "more than 1000000 bytes")


async def test_a_body_of_exactly_the_limit_is_fine(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response()))
    assert await fetch(client, server.url, max_bytes=len(JPEG)) == JPEG
    assert (await failure(client, server.url, max_bytes=len(JPEG) - 1)).code is Code.TOO_LARGE


async def test_a_body_that_drips_is_too_slow(client: GuardedClient, serve: Serve) -> None:
    server = await serve(drips(response(b"", length=1_000_000), b"x", 0.05))
    failed = await failure(client, server.url)
    assert (failed.code, failed.transient) == (Code.TOO_SLOW, True)


async def test_a_slow_body_above_the_least_pace_is_read(connect: Connect, serve: Serve) -> None:
    async def steadily(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", length=8_000))
        for _ in range(8):
            await asyncio.sleep(0.05)
            writer.write(bytes(1_000))

    server = await serve(steadily)
    client = await connect(pace_seconds=0.1, min_bytes_per_second=2_000)
    assert len(await fetch(client, server.url)) == 8_000


@pytest.mark.parametrize(
    "answer",
    [
        drips(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.1),
        drips(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.05),
        drips(b"", b"", 0.1),
        drips(response(JPEG, length=10_000), b"", 0.1),
    ],
    ids=["headers drip", "early hints without end", "silence", "silence in the body"],
)
async def test_a_server_that_does_not_get_on_is_left(
    client: GuardedClient, serve: Serve, answer: Answer
) -> None:
    server = await serve(answer)
    failed = await failure(client, server.url)
    assert (failed.code, failed.transient) == (Code.TIMEOUT, True)


async def test_many_continues_are_harmless(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000 + response()))
    assert await fetch(client, server.url) == JPEG


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 5_000,
        "HTTP/1.1 200 OK\r\nX: " + "y" * 100_000 + "\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n",
        "220 mail.example.com ESMTP\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n",
        "<html>HTTP/0.9</html>",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 302 Found\r\nLocation: " + "/a" * 50_000 + "\r\n",
    ],
)
async def test_an_answer_that_is_not_http_is_bad(
    client: GuardedClient, serve: Serve, head: str
) -> None:
    server = await serve(says(head.encode() + b"\r\nbody", then_close=True))
    assert (await failure(client, server.url)).code is Code.BAD_RESPONSE


@pytest.mark.parametrize(
    "chunk", [b"zz\r\n", b"-1\r\n", b"f" * 17 + b"\r\n", b"4;" + b"x" * 1_000_000, b"4\r\nabcdX"]
)
async def test_a_chunk_that_is_not_valid_is_bad(
    client: GuardedClient, serve: Serve, chunk: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server = await serve(says(head + chunk, then_close=True))
    assert (await failure(client, server.url)).code is Code.BAD_RESPONSE


async def test_a_cookie_does_not_come_back(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response(JPEG, "Set-Cookie: session=1; Path=/")))
    await fetch(client, server.url)
    await fetch(client, server.url)
    assert b"Cookie" not in server.requests[1]


async def test_a_connection_that_is_reset_in_the_middle_may_hold_next_time(
    client: GuardedClient, serve: Serve
) -> None:
    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(length=10_000))
        await writer.drain()
        writer.transport.abort()

    server = await serve(reset)
    failed = await failure(client, server.url)
    assert (failed.code, failed.transient) == (Code.BAD_RESPONSE, True)


async def test_a_kept_connection_that_the_server_closed_costs_nothing(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response(), then_close=True))
    for _ in range(3):
        assert await fetch(client, server.url) == JPEG


async def test_an_empty_body_is_a_file_without_bytes(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response(b"")))
    assert await fetch(client, server.url) == b""


async def test_a_body_left_unread_is_not_the_next_answer(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response(bytes(500_000)), response()))
    async with client.stream(server.url, accept="*/*", max_bytes=MAX_BYTES) as body:
        await anext(body.chunks())
    assert await fetch(client, server.url) == JPEG
    assert server.connections == 2


async def test_what_goes_wrong_in_the_caller_s_block_is_the_caller_s(
    client: GuardedClient, serve: Serve
) -> None:
    server = await serve(says(response()))
    with pytest.raises(OSError, match="disk full"):
        async with client.stream(server.url, accept="*/*", max_bytes=MAX_BYTES):
            raise OSError("disk full")


def self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_a_tls_error(
    client: GuardedClient, tmp_path: Path
) -> None:
    server = Server(says(response()))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        failed = await failure(client, f"https://127.0.0.1:{port}/")
        await server.stop()
    assert (failed.code, failed.transient, failed.detail) == (Code.TLS_ERROR, False, "")
    assert server.requests == []


async def test_plain_http_on_a_tls_port_is_a_tls_error(client: GuardedClient, serve: Serve) -> None:
    server = await serve(says(response(), then_close=True))
    server.speaks_first = True
    failed = await failure(client, server.url.replace("http:", "https:"))
    assert (failed.code, failed.transient) == (Code.TLS_ERROR, False)


async def test_a_tls_handshake_that_stalls_is_a_time_out(connect: Connect, serve: Serve) -> None:
    server = await serve(drips(b"", b"", 0.1))
    client = await connect(connect_seconds=0.3)
    failed = await failure(client, server.url.replace("http:", "https:"))
    assert (failed.code, failed.transient) == (Code.TIMEOUT, True)
