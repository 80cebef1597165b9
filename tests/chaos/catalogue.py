"""The whole fault table: what is tried."""

from __future__ import annotations

from typing import Final

from tests.chaos import (
    external,
    hooks,
    kills,
    lists,
    machine,
    networks,
    orders,
    records,
    sinks,
    stores,
    topology,
)
from tests.chaos.trial import Fault

MODULES: Final = (
    kills,
    networks,
    external,
    hooks,
    records,
    topology,
    machine,
    stores,
    lists,
    orders,
    sinks,
)
ALL: Final[list[Fault]] = sorted(
    (fault for module in MODULES for fault in module.FAULTS), key=lambda fault: fault.name
)
BY_NAME: Final = {fault.name: fault for fault in ALL}


def chosen(names: str) -> list[Fault]:
    """The faults of a list like `F02,F03:batcher`, or all. Raises `ValueError` for a name that there is not."""
    if not names:
        return ALL
    found = []
    for name in names.split(","):
        here = [fault for fault in ALL if name in (fault.name, fault.id)]
        if not here:
            raise ValueError(f"{name}: there is no such fault; there are {', '.join(BY_NAME)}")
        found += here
    return found
