"""Ports of a local stack: remembered ones stay, and one that is taken is named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.ports import OUTSIDE, remembered_ports, some_ports


def test_remembered_ports_are_the_same_at_every_start(tmp_path: Path) -> None:
    path = tmp_path / "data" / "ports.json"
    ports = remembered_ports(path, ["gateway", "standin"])
    assert len(set(ports.values())) == 2
    assert remembered_ports(path, ["gateway", "standin"]) == ports


def test_a_remembered_port_that_is_taken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    port = remembered_ports(path, ["gateway"])["gateway"]
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(BrokerSetupError, match=f"port {port}, remembered for gateway"),
    ):
        remembered_ports(path, ["gateway"])


def test_some_ports_are_free_and_of_no_outgoing_connection() -> None:
    ports = some_ports([f"worker-{n}" for n in range(50)])
    assert len(set(ports.values())) == 50
    assert set(ports.values()) <= set(OUTSIDE)
    for port in ports.values():
        socket.create_server(("127.0.0.1", port)).close()
