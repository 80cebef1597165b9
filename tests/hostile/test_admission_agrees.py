"""Whatever a URL looks like: admission refuses it, or aiohttp goes exactly where admission looked."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from tests.hostile.conftest import ShowRow
from tests.hostile.tripwire import Tripwire
from tests.hostile.urls import CORPUS, generated
from yarl import URL

from imagelane.core.addresses import is_allowed
from imagelane.core.admission import AdmissionPolicy, UrlRefusedError, admit, admit_redirect
from imagelane.platform.fetch_errors import FetchError
from imagelane.platform.guarded_http import GuardedClient, HttpGuardSettings
from imagelane.platform.http_guards import AddressInfo

COUNT = 40_000
SEED = 20_261_121


async def test_the_host_that_is_connected_to_is_the_host_that_was_checked(
    wire: Tripwire, show_row: ShowRow
) -> None:
    looked_up: list[str] = []
    dialled: list[str] = []

    def lookup(name: str) -> Sequence[str]:
        looked_up.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    def opens(info: AddressInfo) -> socket.socket:
        dialled.append(str(info[4][0]))
        raise OSError(101, "no network here")

    admitted = 0
    async with GuardedClient(HttpGuardSettings(), lookup=lookup, open_socket=opens) as client:
        for url in generated(COUNT, SEED):
            try:
                checked = admit(url, client.policy)
            except UrlRefusedError:
                continue
            admitted += 1
            with pytest.raises(FetchError):
                async with client.stream(url, accept="*/*", max_bytes=1):
                    pass
            host = checked.host.removesuffix(".")
            try:
                expected = ip_address(host)
            except ValueError:
                assert looked_up == [f"{host}."], url
            else:
                assert [ip_address(one) for one in dialled] == [expected], url
                assert is_allowed(expected)
            looked_up.clear()
            dialled.clear()
    show_row("property", f"{COUNT:,} URLs", f"{admitted:,} admitted, all as checked", "-")
    assert wire.dialled == []
    assert admitted > COUNT / 10, "too few to say anything"


def test_a_redirect_is_refused_or_leads_where_admission_looked() -> None:
    policy = AdmissionPolicy()
    bases = [admit(url, policy) for url in CORPUS[:5]]
    for at, location in enumerate(generated(5_000, SEED + 1)):
        base = bases[at % len(bases)]
        try:
            hop = admit_redirect(base, location, policy)
        except UrlRefusedError:
            continue
        assert URL(str(hop.url)).raw_host == hop.host == hop.url.raw_host
        assert hop.url.raw_user is None
        assert (base.url.scheme, hop.url.scheme) != ("https", "http")
