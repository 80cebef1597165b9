"""Rows B: everything a server can do wrong once it is asked, through the whole downloader.

`tries` says how often a row is asked for with one retry allowed: 2 for what may pass, 1 for what may not.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped] # it ships no type information
import pytest
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import (
    MAX_BYTES,
    check_public,
    code_of,
    downloading,
    eventually,
)
from tests.hostile.servers import (
    JPEG,
    Answer,
    chunk,
    chunked,
    drips,
    listening,
    resets,
    response,
    says,
)
from tests.hostile.tripwire import Tripwire

from imagelane.core.failures import Code

BAD: Final = Code.BAD_RESPONSE
NO_IMAGE: Final = Code.NOT_AN_IMAGE
MIB: Final = 1 << 20


@dataclass(frozen=True)
class Row:
    """A server's behaviour and what the image ends with."""

    id: str
    what: str
    answer: Callable[[], Answer]
    code: str
    tries: int = 1
    seconds: float = 5.0


def bombs(encoding: str, body: bytes = JPEG) -> Callable[[], Answer]:
    return lambda: says(response(body, f"Content-Encoding: {encoding}"))


def raw(answer: bytes, *, then_close: bool = True) -> Callable[[], Answer]:
    return lambda: says(answer, then_close=then_close)


def head(*lines: str) -> Callable[[], Answer]:
    return raw(("\r\n".join(("HTTP/1.1 200 OK", *lines)) + "\r\n\r\nbody").encode("latin-1"))


def file_of(content_type: str, body: bytes) -> Callable[[], Answer]:
    return lambda: says(response(body, f"Content-Type: {content_type}"))


def on_and_on(first: bytes, block: bytes) -> Callable[[], Answer]:
    """As fast as it goes."""
    return lambda: drips(first, block, 0)


PLAIN: Final = chunked()
INTERIM: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

ROWS: Final = [
    Row("B02", "deflate", bombs("deflate", zlib.compress(JPEG)), BAD),
    Row("B02", "br", bombs("br"), BAD),
    Row("B02", "zstd", bombs("zstd"), BAD),
    Row("B02", "gzip twice", bombs("gzip, gzip"), BAD),
    Row("B02", "says gzip, is plain", bombs("gzip"), BAD),
    Row("B02", "x-gzip", bombs("x-gzip"), BAD),
    Row("B02", "identity is fine", bombs("identity"), "ok"),
    Row("B03", "10 of 1,000 bytes", raw(response(length=10_000)), BAD, tries=2),
    Row("B03", "cut in a chunk", raw(chunked(b"1000\r\nabc")), BAD, tries=2),
    Row("B03", "no last chunk", raw(chunked(chunk(JPEG))), BAD, tries=2),
    Row("B05", "endless chunks", on_and_on(PLAIN, chunk(JPEG + bytes(60_000))), Code.TOO_LARGE),
    Row("B05", "endless until closed", on_and_on(b"HTTP/1.1 200 OK\r\n\r\n", JPEG), Code.TOO_LARGE),
    Row("B06", "10 GB announced", raw(response(JPEG, length=10**10)), Code.TOO_LARGE),
    Row("B06", "10^30 bytes announced", raw(response(JPEG, length=10**30)), BAD),
    Row(
        "B07", "1 byte each 50 ms", lambda: drips(response(length=10**6), b"x", 0.05), "too_slow", 2
    ),
    Row(
        "B07",
        "a burst, then drips",
        lambda: drips(response(JPEG + bytes(50_000), length=10**6), b"x", 0.05),
        "too_slow",
        2,
    ),
    Row("B07", "silence in the body", lambda: drips(response(length=10**6), b"", 1), "timeout", 2),
    Row("B08", "silence", lambda: drips(b"", b"", 1), "timeout", 2),
    Row("B08", "head drips", lambda: drips(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05), "timeout", 2),
    Row("B09", "103 every 50 ms", lambda: drips(b"", INTERIM, 0.05), "timeout", 2),
    Row("B09", "103, then silence", lambda: drips(INTERIM, b"", 1), "timeout", 2),
    Row("B09", "103 as fast as it goes", on_and_on(b"", INTERIM * 1_000), BAD, seconds=2),
    Row("B09", "2,000 times 100", raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000 + response()), "ok"),
    Row("B10", "5,000 headers", head(*("X: y",) * 5_000), BAD),
    Row("B10", "100 KB of header", head("X: " + "y" * 100_000), BAD),
    Row("B10", "endless header", on_and_on(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65_536), BAD),
    Row("B10", "endless headers", on_and_on(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 9_000), BAD),
    Row("B10", "endless status", on_and_on(b"HTTP/1.1 200 ", b"O" * 65_536), BAD),
    Row("B10", "NUL in a header", head("X: a\0b"), BAD),
    Row("B10", "a folded header", raw(response(JPEG, "X: a", " b")), "ok"),  # RFC 9112, 5.2
    Row("B10", "a header without a name", head(": a"), BAD),
    Row("B11", "length and chunked", head("Content-Length: 4", "Transfer-Encoding: chunked"), BAD),
    Row("B11", "two lengths", head("Content-Length: 4", "Content-Length: 5"), BAD),
    Row("B11", "-4 bytes", head("Content-Length: -4"), BAD),
    Row("B11", "+4 bytes", head("Content-Length: +4"), BAD),
    Row("B11", "0x4 bytes", head("Content-Length: 0x4"), BAD),
    Row("B11", "gzip, chunked", head("Transfer-Encoding: gzip, chunked"), BAD),
    Row("B11", "chunked, gzip", head("Transfer-Encoding: chunked, gzip"), BAD),
    Row("B11", "a chunk's 1 MB extension", raw(chunked(b"4;" + b"x" * MIB)), BAD),
    Row("B11", "a chunk of 2^68 bytes", raw(chunked(b"f" * 17 + b"\r\n")), BAD),
    Row("B11", "a chunk of zz bytes", raw(chunked(b"zz\r\n")), BAD),
    Row("B11", "a chunk of -1 bytes", raw(chunked(b"-1\r\n")), BAD),
    Row(
        "B11",
        "one byte a chunk, endless",
        on_and_on(chunked(chunk(JPEG)), b"1\r\nx\r\n" * 9_000),
        BAD,
        seconds=2,
    ),
    Row(
        "B11", "endless trailers", on_and_on(chunked(b"0\r\n"), b"X: y\r\n" * 9_000), BAD, seconds=2
    ),
    Row("B12", "HTTP/0.9", raw(b"<html>hello</html>"), BAD),
    Row("B12", "HTTP/2", raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), BAD),
    Row("B12", "SMTP", raw(b"220 mail.example.com ESMTP\r\n"), BAD),
    Row("B12", "HTTP/9.9", raw(b"HTTP/9.9 200 OK\r\n\r\n" + JPEG), BAD),
    Row("B12", "status 2000", raw(b"HTTP/1.1 2000 OK\r\n\r\n"), BAD),
    Row("B12", "noise", raw(bytes(range(256)) * 99), BAD),
    Row(
        "B14",
        "401 Basic",
        raw(response(b"", "WWW-Authenticate: Basic", status="401 A")),
        "http_refused",
    ),
    Row(
        "B14",
        "401 NTLM",
        raw(response(b"", "WWW-Authenticate: NTLM", status="401 A")),
        "http_refused",
    ),
    Row(
        "B14",
        "407",
        raw(response(b"", "Proxy-Authenticate: Basic", status="407 P")),
        "http_refused",
    ),
    Row("B14", "403", raw(response(b"", status="403 F")), "http_refused"),
    Row("B14", "404", raw(response(b"", status="404 N")), "not_found"),
    Row("B14", "410", raw(response(b"", status="410 G")), "not_found"),
    Row("B14", "500", raw(response(b"", status="500 E")), "http_error", 2),
    Row(
        "B14",
        "502, endless body",
        on_and_on(chunked().replace(b"200 OK", b"502 B"), chunk(JPEG)),
        "http_error",
        2,
    ),
    Row("B14", "408", raw(response(b"", status="408 T")), "http_error", 2),
    Row("B15", "a login page", file_of("text/html", b"<html>"), NO_IMAGE),
    Row("B15", "empty", file_of("image/jpeg", b""), NO_IMAGE),
    Row("B15", "JSON", file_of("application/json", b'{"error": 1}'), NO_IMAGE),
    Row("B16", "HTML as PNG", file_of("image/png", b"<!doctype html><script>"), NO_IMAGE),
    Row(
        "B16",
        "SVG",
        file_of("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        NO_IMAGE,
    ),
    Row("B16", "PDF as PNG", file_of("image/png", b"%PDF-1.7"), NO_IMAGE),
    Row("B16", "EPS as PNG", file_of("image/png", b"%!PS-Adobe-3.0 EPSF-3.0"), NO_IMAGE),
    Row("B16", "ZIP as PNG", file_of("image/png", b"PK\x03\x04" + bytes(99)), NO_IMAGE),
    Row("B16", "ELF as PNG", file_of("image/png", b"\x7fELF" + bytes(99)), NO_IMAGE),
    Row("B16", "MP4 as PNG", file_of("image/png", b"\0\0\0\x18ftypmp42" + bytes(99)), NO_IMAGE),
    Row("B19", "reset in the body", lambda: resets(response(length=10_000)), BAD, 2),
    # aiohttp asks once more by itself, since a kept connection may just have been closed.
    Row("B19", "reset before an answer", lambda: resets(b""), BAD, 4),
    Row("B19", "closed before an answer", raw(b""), BAD, 4),
    Row("B19", "closed inside the head", raw(b"HTTP/1.1 200 OK\r\nX: "), BAD, 4),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.id} {row.what}")
async def test_a_server_that_misbehaves_costs_one_image(
    row: Row, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    loop = asyncio.get_running_loop()
    async with (
        listening(row.answer()) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        began_at = loop.time()
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
        seconds = loop.time() - began_at
    show_row(row.id, row.what, f"tried {len(server.requests)} times", code_of(outcome))
    assert code_of(outcome) == row.code
    assert len(server.requests) == row.tries
    assert seconds < row.seconds
    check_public(outcome)
    assert len(downloader.files()) == (row.code == "ok")


async def test_b01_a_gzip_bomb_is_not_unpacked(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    bomb = gzip.compress(JPEG + bytes(100 * MIB))
    async with (
        listening(says(response(bomb, "Content-Encoding: gzip"))) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        await downloader.outcome(f"{server.base}/warm")
        before = psutil.Process().memory_info().rss
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
        grown = psutil.Process().memory_info().rss - before
    show_row("B01", f"100 MB in {len(bomb):,} bytes", f"memory + {grown:,} B", code_of(outcome))
    assert code_of(outcome) == BAD
    assert grown < 5 * MIB


async def test_b04_bytes_beyond_the_length_are_never_the_next_file(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    evil = b"\xff\xd8\xffevil" + bytes(500)
    async with (
        listening(says(response(JPEG + response(evil) * 100, length=len(JPEG)))) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcomes = [await downloader.outcome(f"{server.base}/{at}") for at in range(4)]
        kept = [path.read_bytes() for path in downloader.files()]
    show_row(
        "B04", "100 KB beyond the length", f"{len(kept)} files, all right", code_of(outcomes[-1])
    )
    assert {code_of(one) for one in outcomes} <= {"ok", BAD}
    assert all(body == JPEG for body in kept)


async def test_b05_an_endless_body_is_left_at_the_limit(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    sent = 0

    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(chunked(chunk(JPEG)))
        while True:
            writer.write(chunk(bytes(65_536)))
            await writer.drain()
            sent += 65_536

    async with (
        listening(endless) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
        await eventually(lambda: server.under_way == 0)
    show_row("B05", "without end", f"{sent:,} bytes left the server", code_of(outcome))
    assert code_of(outcome) == Code.TOO_LARGE
    assert sent < MAX_BYTES + 8 * MIB  # what the kernels' buffers hold beside it
    assert downloader.files() == []


async def test_b13_a_cookie_does_not_come_back(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(response(JPEG, "Set-Cookie: a=1; Path=/"))) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        codes = [code_of(await downloader.outcome(f"{server.base}/{at}")) for at in range(3)]
    show_row("B13", "Set-Cookie", "no cookie is sent", codes[-1])
    assert len(server.requests) == 3
    assert not any(b"cookie" in one.lower() for one in server.requests)
