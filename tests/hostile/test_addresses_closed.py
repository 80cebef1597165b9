"""Row U17, and the second wall alone: which addresses are dialled."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

import pytest
from tests.hostile.conftest import ShowRow
from tests.hostile.downloading import code_of, downloading
from tests.hostile.tripwire import Tripwire
from yarl import URL

from imagelane.core.admission import AdmittedUrl
from imagelane.core.failures import Code
from imagelane.platform.http_guards import AddressInfo

BLOCKED: Final = Code.UNREACHABLE

CLOSED: Final = {
    "10.0.0.0/8": ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    "172.16.0.0/12": ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    "192.168.0.0/16": ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    "100.64.0.0/10": ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    "127.0.0.0/8": ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    "169.254.0.0/16": ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    "192.0.0.0/24": ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
    "192.0.2.0/24": ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
    "192.88.99.0/24": ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
    "198.18.0.0/15": ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
    "198.51.100.0/24": ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
    "203.0.113.0/24": ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
    "224.0.0.0/4": ("224.0.0.0", "239.255.255.255", "223.255.255.255", None),
    "240.0.0.0/4": ("240.0.0.0", "255.255.255.255", None, None),
    "2001:db8::/32": (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
    ),
    "3fff::/20": ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", None),
}


def literal(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


@pytest.mark.parametrize(("network", "addresses"), CLOSED.items())
async def test_a_closed_network_ends_exactly_where_it_ends(
    network: str,
    addresses: tuple[str | None, ...],
    wire: Tripwire,
    tmp_path: Path,
    show_row: ShowRow,
) -> None:
    """What may be reached comes as far as the socket, which this test does not open."""

    def no_network(info: AddressInfo) -> socket.socket:
        raise OSError(101, f"no network here: {info[4][0]}")

    first, last, *neighbours = addresses
    beyond = [one for one in neighbours if one is not None]
    async with downloading(wire, tmp_path, opens=no_network, retries=0) as downloader:
        for address in (first, last):
            assert address is not None
            assert code_of(await downloader.outcome(literal(address))) == BLOCKED
        inside = list(downloader.opened)
        for address in beyond:
            assert code_of(await downloader.outcome(literal(address))) == Code.UNREACHABLE
    show_row(
        f"U17 {network}", f"{first} … {last}", f"closed; {len(beyond)} neighbours open", BLOCKED
    )
    assert inside == []
    assert downloader.opened == beyond
    assert wire.dialled == []


SLIPPED: Final = [
    "http://127.0.0.2/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://169.254.169.254/",
    "http://[::]/",
]


@pytest.mark.parametrize("url", SLIPPED)
async def test_the_second_wall_stands_without_the_first(
    url: str, wire: Tripwire, tmp_path: Path, show_row: ShowRow
) -> None:
    slipped_through = AdmittedUrl(URL(url), URL(url).raw_host or "", 80)
    async with downloading(wire, tmp_path) as downloader:
        with pytest.raises(Exception, match="unreachable") as failed:
            async with downloader.client.stream(slipped_through, accept="*/*", max_bytes=1):
                pass
    show_row("U01-U16 wall 2", url, "no socket", str(failed.value))
    assert (wire.dialled, downloader.opened) == ([], [])
