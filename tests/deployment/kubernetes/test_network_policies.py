"""What pods may reach: nothing but what each of them needs, and never what a customer's URL must not lead to."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from tests.deployment.kubernetes.rendering import (
    OVERLAYS,
    egress_of,
    environment_of,
    labels_of,
    of_kind,
    policies_for,
    workloads,
)

from imagelane.core.addresses import FORBIDDEN_V4, FORBIDDEN_V6, METADATA, is_allowed

REACHES = {
    "intake": {"dns", "kafka", "store", "world"},
    "downloader": {"dns", "kafka", "store", "world"},
    "processor": {"dns", "kafka", "store"},
    "batcher": {"dns", "kafka"},
    "dispatcher": {"dns", "kafka", "batch-api"},
    "tracker": {"dns", "kafka", "database"},
    "gateway": {"dns", "kafka", "store", "database"},
    "notifier": {"dns", "kafka", "world"},
    "topics": {"dns", "kafka"},
    "database": {"dns", "database"},
    "standin": {"dns", "store", "standin"},
    "buckets": {"dns", "store"},
    "versitygw": {"dns"},
    "postgresql": {"dns"},
}
FORBIDDEN = [ip_network(one) for one in (*FORBIDDEN_V4, *FORBIDDEN_V6)]
EDGES = [edge for network in FORBIDDEN for edge in (network[0], network[-1])]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def blocks(overlay: str) -> list[dict[str, Any]]:
    """The address blocks of the world."""
    (rule,) = egress_of(overlay, "downloader")["world"]
    return [one["ipBlock"] for one in rule["to"]]


def may_be_reached(overlay: str, address: str) -> bool:
    """As the network policy decides."""
    wanted = ip_address(address)
    return any(
        wanted in ip_network(block["cidr"])
        and not any(wanted in ip_network(one) for one in block["except"])
        for block in blocks(overlay)
    )


@each_overlay
def test_every_pod_is_shut_off_before_anything_is_allowed(overlay: str) -> None:
    for workload in workloads(overlay).values():
        denying = [one["spec"] for one in policies_for(overlay, workload)]
        assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in denying


@each_overlay
def test_a_pod_reaches_only_what_it_needs(overlay: str) -> None:
    found = {name: set(egress_of(overlay, name)) for name in workloads(overlay)}
    assert found == {name: REACHES[name] for name in found}


@each_overlay
def test_no_rule_is_without_places_or_ports(overlay: str) -> None:
    for name in workloads(overlay):
        for policy, rules in egress_of(overlay, name).items():
            for rule in rules:
                assert rule["to"], policy
                assert rule["ports"], policy


@each_overlay
def test_the_world_is_without_every_network_that_the_code_refuses(overlay: str) -> None:
    excepted = [ip_network(one) for block in blocks(overlay) for one in block["except"]]
    for network in FORBIDDEN:
        assert any(
            network.version == one.version and network.subnet_of(one)  # type: ignore[arg-type] # same version
            for one in excepted
        ), network


@each_overlay
@pytest.mark.parametrize(
    "address", [*METADATA, *map(str, EDGES), "fd00::1", "fe80::1", "::1", "ff02::1"]
)
def test_what_the_code_refuses_the_network_refuses_too(overlay: str, address: str) -> None:
    assert not is_allowed(address)
    assert not may_be_reached(overlay, address)


@each_overlay
@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111"])
def test_public_servers_can_be_reached(overlay: str, address: str) -> None:
    assert is_allowed(address)
    assert may_be_reached(overlay, address)


@each_overlay
def test_exceptions_lie_within_their_block(overlay: str) -> None:
    """A Kubernetes API server refuses the others."""
    for block in blocks(overlay):
        whole = ip_network(block["cidr"])
        for one in map(ip_network, block["except"]):
            assert isinstance(one, IPv4Network | IPv6Network)
            assert one.version == whole.version
            assert one != whole
            assert one.subnet_of(whole)  # type: ignore[arg-type] # same version


@each_overlay
@pytest.mark.parametrize("name", ["intake", "downloader", "notifier"])
def test_the_code_uses_only_the_ports_that_the_network_lets_through(
    overlay: str, name: str
) -> None:
    (rule,) = egress_of(overlay, name)["world"]
    environment = environment_of(overlay, workloads(overlay)[name])
    ports = sorted(one["port"] for one in rule["ports"])
    assert environment["IMAGELANE_HTTP__ALLOWED_PORTS"] == str(ports).replace(" ", "")


@each_overlay
def test_only_the_gateway_is_reached_from_outside(overlay: str) -> None:
    open_to_others = {
        policy["metadata"]["name"]
        for policy in of_kind(overlay, "NetworkPolicy")
        for rule in policy["spec"].get("ingress") or []
        for source in rule["from"]
        if "namespaceSelector" in source and rule["ports"] != [{"protocol": "TCP", "port": 9090}]
    }
    assert open_to_others == {"gateway"}


@each_overlay
def test_every_selector_meets_somebody(overlay: str) -> None:
    everybody = [labels_of(one) for one in workloads(overlay).values()]
    for policy in of_kind(overlay, "NetworkPolicy"):
        wanted = policy["spec"]["podSelector"].get("matchLabels", {})
        if "strimzi.io/cluster" not in wanted:
            assert any(wanted.items() <= labels.items() for labels in everybody), policy["metadata"]
