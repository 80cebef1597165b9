"""Which IP addresses may be reached on behalf of a customer.

Python's `ipaddress.is_global` is no guard: it is true for NAT64, 6to4, multicast and others. So this is
our own list. For IPv4 everything may be reached but the networks below; for IPv6 nothing but the
one block that IANA gives out (2000::/3), without the networks below.

Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates), the IANA
IPv6 global unicast assignments, and the clouds' documentation for addresses that only their tenants see.

An IPv6 address may carry an IPv4 address that the network translates to. Such an address passes only
if both do: an allowed network never opens what is embedded in its addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Final

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

FORBIDDEN_V4: Final = {
    "0.0.0.0/8": "this network, RFC 791: Linux connects 0.0.0.0 to itself",
    "10.0.0.0/8": "private, RFC 1918",
    "100.64.0.0/10": "shared by carriers, RFC 6598; Alibaba's metadata at 100.100.100.200",
    "127.0.0.0/8": "loopback, RFC 1122",
    "169.254.0.0/16": "link-local, RFC 3927; the clouds' metadata at 169.254.169.254 and .170.2",
    "172.16.0.0/12": "private, RFC 1918",
    "192.0.0.0/24": "IETF protocols, RFC 6890; Oracle's metadata at 192.0.0.192",
    "192.0.2.0/24": "documentation, RFC 5737",
    "192.88.99.0/24": "6to4 relays, RFC 7526",
    "192.168.0.0/16": "private, RFC 1918",
    "198.18.0.0/15": "benchmarks, RFC 2544",
    "198.51.100.0/24": "documentation, RFC 5737",
    "203.0.113.0/24": "documentation, RFC 5737",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved, RFC 1112, and broadcast, RFC 919",
    "168.63.129.16/32": "Azure's wire server",
}

FORBIDDEN_V6: Final = {
    "2001::/23": "IETF protocols, RFC 2928: Teredo, benchmarks, ORCHID and others",
    "2001:db8::/32": "documentation, RFC 3849",
    "2002::/16": "6to4, RFC 3056",
    "3fff::/20": "documentation, RFC 9637",
}

METADATA: Final = {
    "169.254.169.254": "AWS, Azure, Google, OpenStack, Oracle and others",
    "169.254.170.2": "AWS ECS",
    "169.254.170.23": "AWS EKS",
    "169.254.42.42": "Scaleway",
    "169.254.0.23": "Tencent",
    "100.100.100.200": "Alibaba",
    "168.63.129.16": "Azure's wire server",
    "192.0.0.192": "Oracle, the older one",
    "fd00:ec2::254": "AWS",
    "fd00:ec2::23": "AWS EKS",
    "fd20:ce::254": "Google",
    "fd00:42::42": "Scaleway",
    "fe80::a9fe:a9fe": "OpenStack",
}
"""They hand out credentials to whoever asks, so allowing a whole network around them does not open them."""

WIDEST_V4: Final = 8
WIDEST_V6: Final = 7

_METADATA: Final = frozenset(map(ip_address, METADATA))
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_FORBIDDEN_V4: Final = tuple(map(IPv4Network, FORBIDDEN_V4))
_FORBIDDEN_V6: Final = tuple(map(IPv6Network, FORBIDDEN_V6))

_EMBEDDED_AT_THE_END: Final = (
    IPv6Network("::/96"),  # compatible, RFC 4291
    IPv6Network("::ffff:0:0:0/96"),  # translated, RFC 2765
    IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
    IPv6Network("64:ff9b:1::/48"),  # local NAT64, RFC 8215, with the usual /96
)
_UNSPECIFIED_OR_LOOPBACK: Final = 1
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
_LOW_32_BITS: Final = 0xFFFF_FFFF


def parsed_address(text: str) -> IpAddress | None:
    """The address in its usual notation, or None. A zone id (`fe80::1%eth0`) is none of ours."""
    if "%" in text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        return None


def is_within(address: IpAddress, networks: Sequence[IpNetwork]) -> bool:
    """Whether one of the networks holds the address; a mapped one (`::ffff:…`) counts as IPv4.

    A metadata service is held by no network but the one that is its very address.
    """
    plain = _unmapped(address)
    return any(
        plain in network and (plain not in _METADATA or network.num_addresses == 1)
        for network in networks
    )


def too_wide(network: IpNetwork) -> str:
    """Why a network is not to be allowed as a whole; empty if it may be."""
    if isinstance(network, IPv4Network):
        return "" if network.prefixlen >= WIDEST_V4 else f"wider than /{WIDEST_V4}"
    if network.network_address.ipv4_mapped is not None:
        return "mapped addresses count as IPv4, so write the network as IPv4"
    return "" if network.prefixlen >= WIDEST_V6 else f"wider than /{WIDEST_V6}"


def is_allowed(address: IpAddress | str, allowed_networks: Sequence[IpNetwork] = ()) -> bool:
    """Whether a connection to this address is allowed: public, or in a network that settings allow.

    Text that is no IP address is refused.
    """
    parsed = parsed_address(address) if isinstance(address, str) else address
    if parsed is None:
        return False
    return all(is_within(layer, allowed_networks) or _is_public(layer) for layer in _layers(parsed))


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_V4)
    return address in _GLOBAL_UNICAST and not any(address in one for one in _FORBIDDEN_V6)


def _unmapped(address: IpAddress) -> IpAddress:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _layers(address: IpAddress) -> Iterator[IpAddress]:
    """The address as the kernel takes it, and every IPv4 address that is embedded in it."""
    outer = _unmapped(address)
    yield outer
    if isinstance(outer, IPv4Address):
        return
    number = int(outer)
    if number <= _UNSPECIFIED_OR_LOOPBACK:
        return
    isatap = number >> 32 & _LOW_32_BITS in _ISATAP
    if isatap or any(outer in network for network in _EMBEDDED_AT_THE_END):
        yield IPv4Address(number & _LOW_32_BITS)
    if outer.sixtofour is not None:
        yield outer.sixtofour
    if outer.teredo is not None:
        yield from outer.teredo
