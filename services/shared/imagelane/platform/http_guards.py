"""The second wall: which addresses a connection on behalf of a customer may lead to.

Checked twice, once for all that a name resolves to and again for the one that a socket is opened to:
aiohttp never asks a resolver for IP literals, so neither check can be left out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import Field, IPvAnyNetwork

from imagelane.core.addresses import is_allowed
from imagelane.core.admission import AdmissionPolicy
from imagelane.platform.fetch_errors import BlockedAddressError
from imagelane.platform.settings import Port, SettingsGroup

MAX_ADDRESSES: Final = 8
LOOKUP_THREADS: Final = 64  # a hanging look-up holds its thread far beyond our patience

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str], Sequence[str]]
OpenSocket = Callable[[AddressInfo], socket.socket]


class HttpGuardSettings(SettingsGroup):
    """Limits for every fetch of what a customer names: an image or a list."""

    allowed_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="Networks that may be reached though they are not public, such as an image server's"
        " in a private network. Addresses in them may use any port.",
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
    user_agent: str = Field(
        default="Imagelane/0.1",
        pattern=r"^[\x20-\x7e]{1,200}$",
        description="Add an address where a server's owner can reach you.",
    )

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
    """

    def __init__(self, policy: AdmissionPolicy, lookup: Lookup, timeout_seconds: float) -> None:
        self._policy = policy
        self._lookup = lookup
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of both families. Raises `BlockedAddressError`, `socket.gaierror`, `TimeoutError`."""
        _ = family  # both, and the connection takes whichever answers first
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_seconds):
            found = await loop.run_in_executor(self._threads, self._lookup, self._absolute(host))
        addresses = list(dict.fromkeys(found))
        if not all(is_allowed(one, self._policy.allowed_networks) for one in addresses):
            raise BlockedAddressError("a name leads to an address that may not be reached")
        return [_resolved(host, one, port) for one in addresses[:MAX_ADDRESSES]]

    async def close(self) -> None:
        """Ends the idle threads; one that hangs in a look-up ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _absolute(self, host: str) -> str:
        """With a dot at its end, so that no search domain turns `kafka.prod` into a cluster's service."""
        local = host == "localhost" or host in self._policy.allowed_hosts or host.endswith(".")
        return host if local else f"{host}."


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
