"""A wire that every socket and every look-up of this process trips over, whoever opens it and how.

Python tells its audit hooks of each `connect`, `sendto` and look-up before it happens. While a tripwire is
armed, only the addresses that a test has named may be connected to, and nothing may be looked up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

LOOK_UPS: Final = frozenset(
    {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"}
)
SENDS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class TrippedError(OSError):
    """The connection or look-up is stopped; the tripwire has noted it all the same."""


class Tripwire:
    """Notes what went where. `hits` is what should never have happened."""

    def __init__(self) -> None:
        self.own: set[tuple[str, int]] = set()
        self.dialled: list[tuple[str, int]] = []
        self.hits: list[str] = []

    def watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in LOOK_UPS:
            self._trip(f"{event} {arguments[0]!r}")
        address = arguments[1] if event in SENDS else None
        if not isinstance(address, tuple):
            return  # a Unix socket, or an answer on a connection that is there already
        place = (str(address[0]), int(address[1]))
        self.dialled.append(place)
        if place not in self.own:
            self._trip(f"{event} {place}")

    def _trip(self, what: str) -> None:
        self.hits.append(what)
        raise TrippedError(f"tripwire: {what}")


_armed: list[Tripwire] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _armed and (event in SENDS or event in LOOK_UPS):
        _armed[-1].watch(event, arguments)


sys.addaudithook(_hook)  # for the process's life: Python has no way to take a hook away


@contextmanager
def armed() -> Iterator[Tripwire]:
    """The wire, stretched. Whatever tripped over it fails the test at the end."""
    wire = Tripwire()
    _armed.append(wire)
    try:
        yield wire
    finally:
        _armed.remove(wire)
    assert wire.hits == [], wire.hits
