"""Ports on loopback for the parts of a local stack."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.broker.server import HOST, free_port

OUTSIDE: Final = range(20_000, 32_000)
"""None of these is given to outgoing connections, so a worker that dies finds its own again."""


def remembered_ports(path: Path, names: Iterable[str]) -> dict[str, int]:
    """A port for each name, the same ones at every start: public URLs hold the gateway's.

    Raises `BrokerSetupError` that names a port which is in use.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ports: dict[str, int] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for name in names:
        ports.setdefault(name, free_port())
    path.write_text(json.dumps(ports), "utf-8")
    for name, port in ports.items():
        if not _is_free(port):
            raise BrokerSetupError(
                f"port {port}, remembered for {name} in {path}, is in use:"
                " stop what listens there, or choose another data folder"
            )
    return ports


def some_ports(names: Iterable[str]) -> dict[str, int]:
    """A free port for each name, others at every start."""
    ports: dict[str, int] = {}
    for name in names:
        while name not in ports:
            port = secrets.choice(OUTSIDE)
            if port not in ports.values() and _is_free(port):
                ports[name] = port
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
        return True
