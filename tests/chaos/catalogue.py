"""The whole fault table: what can be tried here, and what cannot, with the reason."""

from __future__ import annotations

from typing import Final

from tests.chaos import external, hooks, kills, machine, networks, records, topology
from tests.chaos.trial import Fault

MODULES: Final = (kills, networks, external, hooks, records, topology, machine)
NOT_HERE: Final = {
    "F09": ("the object store fails", "not tried yet: needs an S3 server behind the proxy"),
    "F10": ("objects are readable late", "not tried yet: needs an S3 server behind the proxy"),
    "F34": ("lists of every kind, uploads", "not tried yet: needs the submission API"),
    "F36": ("cancelled or deleted while active", "not tried yet: needs the commands"),
    "F39": ("logs and metrics cannot be written", "not tried yet"),
}
"""What this harness does not try, and why."""

ALL: Final = sorted(
    [
        *(fault for module in MODULES for fault in module.FAULTS),
        *(
            Fault(name, says, kills.random_mix, missing=why)
            for name, (says, why) in NOT_HERE.items()
        ),
    ],
    key=lambda fault: fault.name,
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
