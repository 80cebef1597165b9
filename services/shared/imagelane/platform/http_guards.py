"""The second wall: which addresses a connection on behalf of a customer may lead to.

Checked twice, once for all that a name resolves to and again for the one that a socket is opened to:
aiohttp never asks a resolver for IP literals, so neither check can be left out.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import Field, IPvAnyNetwork, field_validator

from imagelane.core.addresses import IpNetwork, is_allowed, too_wide
from imagelane.core.admission import AdmissionPolicy, canonical_host
from imagelane.platform.fetch_errors import BlockedAddressError
from imagelane.platform.settings import Port, SettingsGroup

MAX_ADDRESSES: Final = 4  # aiohttp dials n addresses that all fail n + (n - 1) + … times
# A hanging look-up holds its thread far beyond our patience, for half a minute with the usual resolv.conf.
THREADS_FOR_NEW_NAMES: Final = (
    128  # 16 hosts never seen at a time, six times as long as `lookup_seconds`
)
THREADS_FOR_KNOWN_NAMES: Final = 32
MAX_KNOWN_NAMES: Final = 10_000

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str], Sequence[str]]
OpenSocket = Callable[[AddressInfo], socket.socket]


class HttpGuardSettings(SettingsGroup):
    """Limits for every fetch of what a customer names: an image or a list."""

    allowed_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="Networks that may be reached though they are not public, such as an image server's"
        " in a private network. Addresses in them may use any port. A cloud's metadata service stays closed"
        " unless its very address is named.",
    )
    allowed_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="Names that may be used though they look internal (`images`, `img.shop.internal`), with"
        " any port. Their addresses must be allowed as well.",
    )
    refused_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="Our own public hosts, which are nobody's source of images.",
    )
    allowed_ports: frozenset[Port] = Field(
        default=frozenset({80, 443, 8080, 8443}), description="Ports of all other servers."
    )
    max_redirects: int = Field(
        default=4, ge=0, le=10, description="Each is checked like the first address."
    )
    lookup_seconds: float = Field(default=5.0, gt=0, le=60, description="For resolving a name.")
    connect_seconds: float = Field(
        default=5.0, gt=0, le=60, description="For reaching a server, TLS included."
    )
    read_seconds: float = Field(default=10.0, gt=0, le=300, description="Longest silence.")
    total_seconds: float = Field(
        default=60.0, gt=0, le=3_600, description="For one try, redirects included."
    )
    min_bytes_per_second: int = Field(
        default=10_000, ge=0, description="A server that sends less over `pace_seconds` is left."
    )
    pace_seconds: float = Field(
        default=10.0, gt=0, le=600, description="Over which a server's pace is measured."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of authorities that are trusted besides the system's, for image servers in"
        " a private network.",
    )
    user_agent: str = Field(
        default="Imagelane/0.1",
        pattern=r"^[\x20-\x7e]{1,200}$",
        description="Add an address where a server's owner can reach you.",
    )

    @field_validator("allowed_networks")
    @classmethod
    def _networks_are_narrow(cls, networks: tuple[IpNetwork, ...]) -> tuple[IpNetwork, ...]:
        for network in networks:
            if why := too_wide(network):
                raise ValueError(f"{network}: {why}")
        return networks

    @field_validator("allowed_hosts", "refused_hosts")
    @classmethod
    def _hosts_are_names(cls, hosts: frozenset[str]) -> frozenset[str]:
        return frozenset(map(canonical_host, hosts))

    def tls(self) -> ssl.SSLContext:
        """Certificates are always checked. Raises `OSError` for a `ca_file` that cannot be read."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)
        return context

    def policy(self) -> AdmissionPolicy:
        """What these settings mean for admission."""
        return AdmissionPolicy(
            allowed_networks=self.allowed_networks,
            allowed_ports=self.allowed_ports,
            allowed_hosts=self.allowed_hosts,
            refused_hosts=self.refused_hosts,
        )


def system_lookup(host: str) -> list[str]:
    """All addresses of a name, by the system's resolver; blocks. Raises `socket.gaierror`."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


def open_socket(info: AddressInfo) -> socket.socket:
    """A plain socket of the family and kind that the address needs."""
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


class GuardSocketFactory:
    """Opens sockets to allowed addresses only: whatever brought an address here, it is the one dialled."""

    def __init__(self, policy: AdmissionPolicy, open_socket: OpenSocket) -> None:
        self._policy = policy
        self._open_socket = open_socket

    def __call__(self, info: AddressInfo) -> socket.socket:
        """Raises `BlockedAddressError` before there is a socket."""
        if not is_allowed(str(info[4][0]), self._policy.allowed_networks):
            raise BlockedAddressError("an address that may not be reached")
        return self._open_socket(info)


class GuardResolver(AbstractResolver):
    """Resolves a name to addresses that are all allowed, or not at all.

    Has threads of its own: the event loop's few would all be held by a handful of dead name servers.
    Names that were found the last time have theirs, which no number of dead ones can hold.
    """

    def __init__(self, policy: AdmissionPolicy, lookup: Lookup, timeout_seconds: float) -> None:
        self._policy = policy
        self._lookup = lookup
        self._timeout_seconds = timeout_seconds
        self._for_new = ThreadPoolExecutor(THREADS_FOR_NEW_NAMES, "lookup")
        self._for_known = ThreadPoolExecutor(THREADS_FOR_KNOWN_NAMES, "lookup-known")
        self._known: dict[str, None] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """A few addresses of both families. Raises `BlockedAddressError`, `socket.gaierror`, `TimeoutError`."""
        _ = family  # both, and the connection takes whichever answers first
        loop = asyncio.get_running_loop()
        threads = self._for_known if host in self._known else self._for_new
        self._known.pop(host, None)  # until it is found again
        async with asyncio.timeout(self._timeout_seconds):
            found = await loop.run_in_executor(threads, self._lookup, self._absolute(host))
        self._remember(host)
        addresses = list(dict.fromkeys(found))
        if not addresses:
            raise socket.gaierror(socket.EAI_NODATA, "a name without addresses")
        if not all(is_allowed(one, self._policy.allowed_networks) for one in addresses):
            raise BlockedAddressError("a name leads to an address that may not be reached")
        return [_resolved(host, one, port) for one in _a_few(addresses)]

    async def close(self) -> None:
        """Ends the idle threads; one that hangs in a look-up ends with it."""
        self._for_new.shutdown(wait=False, cancel_futures=True)
        self._for_known.shutdown(wait=False, cancel_futures=True)

    def _remember(self, host: str) -> None:
        if len(self._known) >= MAX_KNOWN_NAMES:
            del self._known[next(iter(self._known))]
        self._known[host] = None

    def _absolute(self, host: str) -> str:
        """With a dot at its end, so that no search domain turns `kafka.prod` into a cluster's service."""
        local = host == "localhost" or host in self._policy.allowed_hosts or host.endswith(".")
        return host if local else f"{host}."


def _a_few(addresses: list[str]) -> list[str]:
    """The families in turns, in the system's order: a network without IPv6 must not see nothing else."""
    first_family = ":" in addresses[0]
    mine = [one for one in addresses if (":" in one) is first_family]
    others = [one for one in addresses if (":" in one) is not first_family]
    turns = [one for pair in zip_longest(mine, others) for one in pair if one is not None]
    return turns[:MAX_ADDRESSES]


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
