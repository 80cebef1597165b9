from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from imagelane.core.addresses import METADATA, is_allowed
from imagelane.core.admission import UrlRefusedError, admit
from imagelane.platform.guarded_http import HttpGuardSettings


def settings(**fields: Any) -> HttpGuardSettings:
    return HttpGuardSettings(**fields)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("0.0.0.0/0", "wider than /8"),
        ("10.0.0.0/7", "wider than /8"),
        ("::/0", "wider than /7"),
        ("::ffff:10.0.0.0/104", "write the network as IPv4"),
        ("10.0.0.1/8", "allowed_networks"),  # host bits
        ("shop", "allowed_networks"),
    ],
)
def test_a_network_that_cannot_be_meant_is_refused_at_start(network: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        settings(allowed_networks=[network])


@pytest.mark.parametrize(
    "network", ["10.0.0.0/8", "192.168.7.0/24", "fd00::/8", "127.0.0.1", "::1"]
)
def test_a_private_network_may_be_allowed(network: str) -> None:
    policy = settings(allowed_networks=[network]).policy()
    assert is_allowed(policy.allowed_networks[0][0], policy.allowed_networks)


@pytest.mark.parametrize("address", METADATA)
def test_a_metadata_service_is_opened_by_nothing_but_its_own_address(address: str) -> None:
    wide = "fd00::/8" if address.startswith("fd") else f"{address}/{64 if ':' in address else 16}"
    host = f"[{address}]" if ":" in address else address
    around = HttpGuardSettings.model_construct(allowed_networks=(ip_network(wide, strict=False),))
    with pytest.raises(UrlRefusedError):
        admit(f"http://{host}/", around.policy())
    assert admit(f"http://{host}/", settings(allowed_networks=[address]).policy()).host == address


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("IMG.Shop.Internal", "img.shop.internal"),
        ("images", "images"),
        ("bücher.example.", "xn--bcher-kva.example"),
        ("1.1.1.1", "1.1.1.1"),
        ("[2606:4700::1111]", "2606:4700::1111"),
    ],
)
def test_hosts_are_known_however_they_are_written(written: str, known: str) -> None:
    assert settings(refused_hosts=[written]).policy().refused_hosts == {known}
    assert settings(allowed_hosts=[written]).policy().allowed_hosts == {known}


@pytest.mark.parametrize(
    "written",
    ["https://img.example.com", "img.example.com:8080", "img.example.com/a", "", "a b", "*.a"],
)
def test_what_is_no_host_is_refused_at_start(written: str) -> None:
    with pytest.raises(ValidationError, match="refused_hosts"):
        settings(refused_hosts=[written])
