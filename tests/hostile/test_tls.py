"""Rows B08 and B17: certificates and handshakes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from tests.hostile.certificates import NAME, Authority
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import (
    check_public,
    code_of,
    downloading,
)
from tests.hostile.servers import Answer, Names, drips, listening, response, says
from tests.hostile.tripwire import Tripwire

from imagelane.core.failures import Code


async def speaks_tls_1_1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A ServerHello that settles on TLS 1.1, whatever the client offered."""
    await reader.read(4_096)
    hello = b"\x03\x02" + bytes(32) + b"\x00" + b"\x00\x2f" + b"\x00"
    handshake = b"\x02" + len(hello).to_bytes(3, "big") + hello
    writer.write(b"\x16\x03\x02" + len(handshake).to_bytes(2, "big") + handshake)
    await asyncio.sleep(1)


TLS: Final[dict[str, tuple[Callable[[Authority], ssl.SSLContext], str]]] = {
    "a good certificate": (lambda one: one.server(), "ok"),
    "expired": (lambda one: one.server(ends_in=timedelta(days=-1)), "tls_error"),
    "not valid yet": (lambda one: one.server(ends_in=timedelta(days=6)), "tls_error"),
    "self-signed": (lambda one: one.server(self_signed=True), "tls_error"),
    "another host's": (lambda one: one.server("other.example.com"), "tls_error"),
}


@pytest.mark.parametrize(("what", "kind"), TLS.items(), ids=TLS)
async def test_b17_a_certificate_must_be_right(
    what: str,
    kind: tuple[Callable[[Authority], ssl.SSLContext], str],
    authority: Authority,
    wire: Tripwire,
    tmp_path: Path,
    show_row: ShowRow,
) -> None:
    context, code = kind
    names = Names()
    names.lead(f"{NAME}.", ["127.0.0.1"])
    async with (
        listening(says(response()), context(authority)) as server,
        downloading(
            wire, tmp_path, server, names=names, http={"ca_file": authority.ca_file}
        ) as downloader,
    ):
        outcome = await downloader.outcome(f"https://{NAME}:{server.port}/a.jpg")
    show_row("B17", what, f"{len(server.requests)} requests", code_of(outcome))
    assert code_of(outcome) == code
    assert len(server.requests) == (code == "ok")
    check_public(outcome)


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("TLS 1.1", speaks_tls_1_1),
        ("a fatal alert", says(b"\x15\x03\x01\x00\x02\x02\x46", then_close=True)),
        ("plain HTTP", says(response(), then_close=True)),
        ("noise", says(b"\0" * 9_999, then_close=True)),
    ],
)
async def test_b17_what_is_no_tls_of_today_is_refused(
    what: str, answer: Answer, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(answer) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        server.speaks_first = True
        outcome = await downloader.outcome(f"{server.base}/a.jpg".replace("http:", "https:"))
    show_row("B17", what, f"{server.connections} connections", code_of(outcome))
    assert code_of(outcome) == Code.TLS_ERROR
    assert server.connections == 1
    check_public(outcome)


async def test_b08_a_tls_handshake_that_stalls_is_a_time_out(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(drips(b"", b"", 1)) as server,
        downloading(wire, tmp_path, server, retries=0) as downloader,
    ):
        url = f"{server.base}/a.jpg".replace("http:", "https:")
        outcome = await downloader.outcome(url)
    show_row("B08", "a handshake that stalls", "left", code_of(outcome))
    assert code_of(outcome) == Code.TIMEOUT
