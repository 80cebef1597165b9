"""Rows U: URLs, addresses and names that lead where nobody may go, through the whole downloader.

Most of what is listed here is refused without a look-up and without a socket. Each row states both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import check_public, code_of, downloading, eventually, requested
from tests.hostile.servers import JPEG, Names, listening, response, says
from tests.hostile.tripwire import Tripwire

from imagelane.core.failures import Code
from imagelane.intake.core.lists import ListLimits, ListReader, ListShape

REFUSED: Final = Code.URL_REFUSED
BLOCKED: Final = Code.UNREACHABLE
AS_DELIVERED: Final[dict[str, Any]] = {"allowed_networks": ()}

LITERALS: Final[dict[str, tuple[Code, Sequence[str]]]] = {
    "U01": (BLOCKED, ["http://127.0.0.1/"]),
    "U02": (
        REFUSED,
        [
            "http://127.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://00127.0.0.1/",
        ],
    ),
    "U03": (REFUSED, ["http://0x7f000001/", "http://0x7f.0.0.1/", "http://127.0.0.0x1/"]),
    "U04": (REFUSED, ["http://127.0.0.1./"]),
    "U05": (BLOCKED, ["http://0.0.0.0/", "http://[::]/"]),
    "U06": (BLOCKED, ["http://[::1]/"]),
    "U07": (BLOCKED, ["http://[::ffff:127.0.0.1]/", "http://[0:0:0:0:0:ffff:7f00:1]/"]),
    "U08": (BLOCKED, ["http://[::ffff:a9fe:a9fe]/"]),
    "U09": (BLOCKED, ["http://[::127.0.0.1]/"]),
    "U10": (BLOCKED, ["http://[::ffff:0:127.0.0.1]/"]),
    "U11": (BLOCKED, ["http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::a00:1]/"]),
    "U12": (BLOCKED, ["http://[2002:7f00:1::]/", "http://[2002:808:808::]/"]),
    "U13": (BLOCKED, ["http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/"]),
    "U14": (REFUSED, ["http://[fe80::1%25eth0]/", "http://[::1%2525lo]/", "http://[fe80::1%lo]/"]),
    "U15": (BLOCKED, ["http://[fd00:ec2::254]/"]),
    "U16": (
        BLOCKED,
        [
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.170.2/",
            "http://100.100.100.200/",
            "http://168.63.129.16/",
            "http://192.0.0.192/",
        ],
    ),
    "U18": (
        BLOCKED,
        [
            f"http://[{one}]/"
            for one in (
                *("fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
                *("3fff::1", "100::1", "5f00::1", "2001:20::1"),
            )
        ],
    ),
    "U19": (BLOCKED, ["http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/"]),
    "U20": (
        REFUSED,
        [
            "http://localhost/",
            "http://LOCALHOST./",
            "http://foo.localhost/",
            "http://kafka/",
            "http://kafka.ns.svc.cluster.local/",
            "http://metadata.google.internal/",
        ],
    ),
    "U21": (REFUSED, ["http://user:pass@shop.example.com/", "http://:@shop.example.com/"]),
    "U22": (REFUSED, ["http://example.com@127.0.0.1/", "http://1.1.1.1 &@127.0.0.1/"]),
    "U23": (REFUSED, ["http://example.com\\@127.0.0.1/", "http:/\\127.0.0.1/"]),
    "U23#": (BLOCKED, ["http://127.0.0.1#@example.com/"]),
    "U24": (
        REFUSED,
        [f"http://shop.example.com:{port}/" for port in (6379, 9092, 22, 25, 0, 99999)],
    ),
    "U25": (REFUSED, ["http://127.0.0.1%00.example.com/", "http://a%0d%0ab.example.com/"]),
    "U26": (
        REFUSED,
        [
            "http://shop.example.com/a\r\nX-Inj: 1",
            "http://shop.example.com/a\tb",
            "http://shop.example.com/a b",
        ],
    ),
    "U28": (
        REFUSED,
        [
            "http://exa mple.com/",
            "http://xn--/",
            "http://-/",
            "http://[v1.fe]/",
        ],
    ),
    "U29": (REFUSED, ["http://a..b/", "http://.example.com/"]),
    "U30": (REFUSED, ["//127.0.0.1/a", "tcp://127.0.0.1/"]),
    "U31": (REFUSED, ["http:///a", "http:/127.0.0.1/a", "http://h:80:80/", "http://"]),
    "U32": (
        REFUSED,
        [
            f"{scheme}//127.0.0.1/a"
            for scheme in (
                *("file:", "gopher:", "ftp:", "data:", "dict:", "ldap:", "jar:"),
                *("ws:", "wss:", "unix:", "s3:", "javascript:"),
            )
        ],
    ),
    "U33": (
        REFUSED,
        [
            "\ufeffhttp://shop.example.com/",
            "http://shop.example.com/\u202egpj.exe",
            "http://shop.example.com/\u2028",
        ],
    ),
}


def cases() -> list[tuple[str, Code, str]]:
    return [
        (f"{row}.{at}", code, url)
        for row, (code, urls) in LITERALS.items()
        for at, url in enumerate(urls, 1)
    ]


@pytest.mark.parametrize(("row", "code", "url"), cases())
async def test_nothing_is_looked_up_or_dialled_for_what_may_not_be_fetched(
    row: str, code: Code, url: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with downloading(wire, tmp_path, http=AS_DELIVERED) as downloader:
        outcome = await downloader.outcome(url)
    show_row(row, url, "no look-up, no socket", code_of(outcome))
    assert code_of(outcome) == code
    assert (wire.dialled, downloader.opened, downloader.names.asked.total()) == ([], [], 0)
    check_public(outcome)
    assert downloader.files() == []


@pytest.mark.parametrize(
    "url", ["http://img.imagelane.example/a", "http://IMG.imagelane.example./a", "http://1.1.1.1/"]
)
async def test_u39_our_own_hosts_are_nobody_s_source(
    url: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    http = {"refused_hosts": {"IMG.Imagelane.Example", "1.1.1.1"}}  # as people write them
    async with downloading(wire, tmp_path, http=http) as downloader:
        outcome = await downloader.outcome(url)
    show_row("U39", url, "no look-up, no socket", code_of(outcome))
    assert code_of(outcome) == REFUSED
    assert (downloader.opened, downloader.names.asked.total()) == ([], 0)


@pytest.mark.parametrize(
    ("row", "written", "sent"),
    [
        ("U27", "/a%0d%0aX-Inj:1", "/a%0d%0aX-Inj:1"),
        ("U27", "/%2e%2e/%41?sig=%2F", "/%2e%2e/%41?sig=%2F"),
        ("U34", "/straße.jpg", "/stra%C3%9Fe.jpg"),
    ],
)
async def test_what_may_be_fetched_is_asked_for_as_it_was_written(
    row: str, written: str, sent: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with (
        listening(says(response())) as server,
        downloading(wire, tmp_path, server) as downloader,
    ):
        outcome = await downloader.outcome(server.base + written)
    show_row(row, written, "stays encoded", code_of(outcome))
    assert code_of(outcome) == "ok"
    assert server.requests[0].startswith(f"GET {sent} HTTP/1.1\r\n".encode())
    assert b"X-Inj:1\r\n" not in server.requests[0]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://ⓔⓧⓐⓜⓟⓛⓔ.com:{port}/", "example.com."),
        ("http://exаmple.com:{port}/", "xn--exmple-4nf.com."),  # noqa: RUF001 # the point of it
    ],
)
async def test_u34_a_homograph_is_fetched_under_its_true_name(
    url: str, name: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    names = Names()
    names.lead(name, ["127.0.0.1"])
    async with (
        listening(says(response())) as server,
        downloading(wire, tmp_path, server, names=names) as downloader,
    ):
        outcome = await downloader.outcome(url.format(port=server.port))
    show_row("U34", url, f"looked up as {name}", code_of(outcome))
    assert code_of(outcome) == "ok"
    assert names.asked == {name: 1}
    assert f"Host: {name.removesuffix('.')}:{server.port}\r\n".encode() in server.requests[0]


async def test_u33_lines_that_are_no_text_keep_their_index_and_the_list_goes_on(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    good = "http://shop.example.com:{port}/{at}.jpg"
    lines = [
        b"http://shop.example.com/" + b"a" * 2_100,
        b"http://shop.example.com/" + b"a" * 100_000,
        b"x" * 10_000_000,
        b"http://shop.example.com/\x00",
        b"http://shop.example.com/\xff\xfe",
        b"\xef\xbb\xbfhttp://shop.example.com/",
        "http://shop.example.com/\u202egpj.exe".encode(),
        b"\xed\xa0\x80",
    ]
    names = Names()
    names.lead("shop.example.com.", ["127.0.0.1"])
    async with listening(says(response(JPEG))) as server:
        text = b"".join(
            line + b"\n" + good.format(port=server.port, at=at).encode() + b"\n"
            for at, line in enumerate(lines)
        )
        reader = ListReader(ListLimits(1_000, 1 << 30), ListShape("text"))
        entries = [
            one for part in (reader.feed(text), reader.finish()) for few in part for one in few
        ]
        async with downloading(wire, tmp_path, server, names=names) as downloader:
            downloader.requests.request(
                requested(one.url, at, defect=one.defect) for at, one in enumerate(entries)
            )
            await eventually(lambda: len(downloader.requests.outcomes) == len(entries))
    codes = [code_of(downloader.requests.outcomes["acme", at]) for at in range(len(entries))]
    show_row("U33 list", "8 bad lines between 8 good ones", "8 fail, 8 are fetched", codes[0])
    assert codes == [REFUSED, "ok"] * len(lines)


async def test_u33_a_request_that_no_event_may_carry_is_a_dead_letter(
    wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    async with downloading(wire, tmp_path) as downloader:
        downloader.requests.request([requested("http://shop.example.com/" + "a" * 2_025)])
        await eventually(lambda: downloader.requests.buried, downloader.running)
    show_row("U33 2,049", "a request of 2,049 characters", "dead letter", "-")
    assert "2048" in str(downloader.requests.buried[0])
    assert downloader.requests.outcomes == {}
