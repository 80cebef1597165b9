from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.addresses import FORBIDDEN_V4, FORBIDDEN_V6, is_allowed, is_within

FORBIDDEN = [
    # U01, U05, U06
    *("127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3"),  # noqa: S104 # refused, not bound
    *("::", "::1"),
    # U07, U08, mapped
    *("::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1", "::ffff:a9fe:a9fe", "::ffff:10.0.0.1"),
    # U09, U10: compatible and translated, public inside or not
    *("::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"),
    # U11, NAT64
    *("64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"),
    # U12, U13: 6to4, Teredo
    *("2002:7f00:1::", "2002:808:808::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    # U15, U16: the clouds' metadata
    *("fd00:ec2::254", "fd20:ce::254", "169.254.169.254", "169.254.170.2", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192"),
    # U17
    *("10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0"),
    *("192.168.255.255", "100.64.0.0", "100.127.255.255", "192.0.0.0", "192.0.0.255"),
    *("192.0.2.1", "192.88.99.1", "198.18.0.0", "198.19.255.255", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    # U18
    *("fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1"),
    *("5f00::1", "2001:20::1", "2001:2::1", "4000::1", "::2"),
    # ISATAP with a private address inside
    "2606:4700::5efe:10.0.0.1",
    # no addresses
    *("", "localhost", "fe80::1%eth0", "::1%lo", "127.1", "0x7f.0.0.1", "1.1.1.1 ", "1.1.1.1/32"),
]

ALLOWED = [
    # U17: the neighbours
    *("9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255"),
    *("192.169.0.0", "100.63.255.255", "100.128.0.0", "191.255.255.255", "192.0.1.0"),
    *("192.88.98.255", "192.88.100.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
    *("126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "1.0.0.0"),
    *("168.63.129.15", "168.63.129.17", "8.8.8.8", "::ffff:8.8.8.8"),
    *("2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "3ffe::1"),
    "2606:4700::5efe:8.8.8.8",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("network", [*FORBIDDEN_V4, *FORBIDDEN_V6])
def test_a_forbidden_network_is_closed_from_its_first_to_its_last_address(network: str) -> None:
    parsed = ip_network(network)
    assert not is_allowed(parsed[0])
    assert not is_allowed(parsed[-1])


def test_a_network_that_settings_allow_is_open_and_its_neighbours_are_not() -> None:
    allowed = [ip_network("10.1.2.0/24"), ip_network("fd12::/16")]
    assert is_allowed("10.1.2.3", allowed)
    assert is_allowed("::ffff:10.1.2.3", allowed)
    assert is_allowed("fd12::1", allowed)
    assert not is_allowed("10.1.3.0", allowed)
    assert not is_allowed("fd13::1", allowed)


def test_an_allowed_network_does_not_open_what_is_embedded_in_its_addresses() -> None:
    nat64 = [ip_network("64:ff9b::/96")]
    assert is_allowed("64:ff9b::808:808", nat64)
    assert not is_allowed("64:ff9b::a9fe:a9fe", nat64)
    assert is_allowed("64:ff9b::a9fe:a9fe", [*nat64, ip_network("169.254.169.254/32")])


def test_allowed_ipv4_loopback_does_not_open_its_transition_forms() -> None:
    loopback = [ip_network("127.0.0.0/8")]
    for address in ("::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:0:127.0.0.1", "::1"):
        assert not is_allowed(address, loopback)


def test_allowed_ipv6_loopback_is_not_taken_for_an_embedded_address() -> None:
    assert is_allowed("::1", [ip_network("::1/128")])
    assert not is_allowed("::", [ip_network("::1/128")])


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_as_good_as_the_one_inside(address: IPv4Address) -> None:
    mapped = IPv6Address(f"::ffff:{address}")
    assert is_allowed(mapped) is is_allowed(address)
    assert is_within(mapped, [ip_network("10.0.0.0/8")]) is (address in ip_network("10.0.0.0/8"))


@given(st.ip_addresses())
def test_nothing_is_allowed_that_python_calls_private(
    address: IPv4Address | IPv6Address,
) -> None:
    if address.is_private or address.is_multicast or address.is_reserved:
        mapped = getattr(address, "ipv4_mapped", None)
        assert not is_allowed(address) or (mapped is not None and is_allowed(mapped))


@given(st.text(max_size=50))
def test_text_is_refused_unless_it_is_an_address(text: str) -> None:
    try:
        ip_address(text)
    except ValueError:
        assert not is_allowed(text)
