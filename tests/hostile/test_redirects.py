"""Rows R: where servers send us, and answers that are neither a file nor a failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.hostile.certificates import Authority
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import check_public, code_of, downloading
from tests.hostile.servers import Names, listening, redirect, response, says
from tests.hostile.tripwire import Tripwire

from imagelane.core.failures import Code

HOP: Final = Code.REDIRECT_REFUSED

REFUSED: Final[list[tuple[str, str]]] = [
    ("R01", "http://169.254.169.254/"),
    ("R01", "http://127.0.0.2/"),
    ("R02", "//169.254.169.254/x"),
    ("R03", "file:///etc/passwd"),
    ("R03", "gopher://127.0.0.1/"),
    ("R03", "javascript:alert(1)"),
    ("R04", "http://u:p@127.0.0.1/"),
    ("R04", "//u@127.0.0.1/"),
    ("R04", "http://[x]@/"),  # an IndexError of yarl once ended the downloader
    ("R05", "http://shop.example.com:6379/"),
    ("R05", "http://kafka/"),
    ("R09", "/" + "a" * 8_001),
    ("R09", "//[::1/"),
    ("R09", "http://127.0.0.1\\@shop.example.com/"),
]


@pytest.mark.parametrize(("row", "location"), REFUSED)
async def test_a_redirect_to_where_no_url_may_lead_is_not_followed(
    row: str, location: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(redirect(location))) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row(row, location, f"{len(server.requests)} request", code_of(outcome))
    assert code_of(outcome) == HOP
    assert wire.dialled == [server.place]
    assert (len(server.requests), downloader.names.asked.total()) == (1, 0)
    check_public(outcome)


async def test_r06_a_circle_ends_at_the_fifth_hop(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(redirect("/a.jpg"))) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row("R06", "a circle", f"{len(server.requests)} requests", code_of(outcome))
    assert code_of(outcome) == HOP
    assert len(server.requests) == 5


async def test_r06_four_hops_are_followed(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    hops = [redirect(f"/{at}", status) for at, status in enumerate(("301 a", "303 b", "307 c"))]
    async with (
        listening(says(*hops, redirect("/3", "308 d"), response())) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row(
        "R06", "four hops, then the file", f"{len(server.requests)} requests", code_of(outcome)
    )
    assert code_of(outcome) == "ok"
    assert not any(b"Referer" in one or b"Authorization" in one for one in server.requests)


NO_FILES: Final = {
    "302 without Location": response(b"", status="302 Found"),
    "300": response(b"", "Location: /b", status="300 Multiple Choices"),
    "304": b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
    "305": response(b"", "Location: http://127.0.0.2/", status="305 Use Proxy"),
    "306": response(b"", "Location: /b", status="306 Switch Proxy"),
    "101": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "206": response(status="206 Partial", length=1_004),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "201": response(status="201 Created"),
    "226": response(status="226 IM Used"),
    "600": response(status="600 What"),
    "000": response(status="000 What"),
}


@pytest.mark.parametrize(("status", "answer"), NO_FILES.items(), ids=NO_FILES)
async def test_r07_nothing_but_200_is_a_file(
    status: str, answer: bytes, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(answer)) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row("R07", status, f"{len(server.requests)} request", code_of(outcome))
    assert code_of(outcome) == Code.BAD_RESPONSE
    assert len(server.requests) == 1
    assert downloader.files() == []


async def test_r07_199_is_no_answer_at_all(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(b"HTTP/1.1 199 Soon\r\n\r\n")) as server,
        downloading(wire, tmp_path, server, retries=0) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row("R07", "199, and then nothing", "left", code_of(outcome))
    assert code_of(outcome) == Code.TIMEOUT


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary", "308 Permanent"])
async def test_r08_nothing_leads_from_https_to_http(
    status: str, authority: Authority, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead("shop.example.com.", ["127.0.0.1"])
    async with (
        listening(says(response())) as plain,
        listening(says(redirect(f"{plain.base}/b", status)), authority.server()) as server,
        downloading(
            wire, tmp_path, server, plain, names=names, http={"ca_file": authority.ca_file}
        ) as downloader,
    ):
        outcome = await downloader.outcome(f"https://shop.example.com:{server.port}/a.jpg")
    show_row("R08", f"{status}: https to http", "not followed", code_of(outcome))
    assert code_of(outcome) == HOP
    assert (len(server.requests), len(plain.requests)) == (1, 0)


@dataclass(frozen=True)
class Followed:
    location: bytes
    asked: bytes


FOLLOWED: Final = [
    Followed(b"../../x", b"GET /x "),
    Followed(b"?size=1", b"GET /a/b.jpg?size=1 "),
    Followed("/straße".encode(), b"GET /stra%C3%9Fe "),
    Followed("/straße".encode("latin-1"), b"GET /stra%DFe "),
    Followed(b"/my image.jpg", b"GET /my%20image.jpg "),
    Followed(b"/a%0d%0aX-Inj:1", b"GET /a%0d%0aX-Inj:1 "),
]


@pytest.mark.parametrize("case", FOLLOWED, ids=lambda case: repr(case.location))
async def test_r09_what_can_be_meant_is_encoded_and_followed(
    case: Followed, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    first = b"HTTP/1.1 302 F\r\nContent-Length: 0\r\nLocation: " + case.location + b"\r\n\r\n"
    async with (
        listening(says(first, response())) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a/b.jpg")
    show_row("R09", repr(case.location), case.asked.decode().strip(), code_of(outcome))
    assert code_of(outcome) == "ok"
    assert server.requests[1].startswith(case.asked)


@pytest.mark.parametrize(
    ("name", "location"),
    [("100 KB", b"/" + b"a" * 100_000), ("NUL", b"/a\0b"), ("bare CR", b"/a\rX-Inj: 1")],
)
async def test_r09_a_location_that_is_no_header_is_a_bad_answer(
    name: str, location: bytes, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    first = b"HTTP/1.1 302 F\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    async with (
        listening(says(first, response())) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row("R09", f"a Location with {name}", "not followed", code_of(outcome))
    assert code_of(outcome) in {Code.BAD_RESPONSE, HOP}
    assert len(server.requests) == 1


async def test_r10_the_whole_time_counts_for_all_hops_together(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async def slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(redirect("/again"))

    loop = asyncio.get_running_loop()
    began_at = loop.time()
    async with (
        listening(slowly) as server,
        downloading(wire, tmp_path, server, http={"total_seconds": 0.5}, retries=0) as downloader,
    ):
        outcome = await downloader.outcome(f"{server.base}/a.jpg")
    show_row("R10", "each hop after 0.2 s of 0.5 s", "left", code_of(outcome))
    assert code_of(outcome) == Code.TIMEOUT
    assert loop.time() - began_at < 3
    assert len(server.requests) <= 3
