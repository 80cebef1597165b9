"""Who hands in what, in the model, and what is true of every image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pyroaring import BitMap
from tests.model.dispatcher import BASE, TERMS

from imagelane.core.recipes import RECIPES

IMAGES: Final = 6
JOBS: Final = (("acme", "a" * 32), ("acme", "b" * 32), ("corp", "c" * 32), ("bolt", "d" * 32))
"""`acme` and `corp` share a partition, `bolt` has the other one."""
CUSTOMERS: Final = tuple(dict.fromkeys(customer for customer, _ in JOBS))
_OUTPUT: Final = RECIPES["default"].outputs[0]


@dataclass
class Road:
    """What has happened to a job's images before the lane. Twice is possible, with two results."""

    ok: BitMap = field(default_factory=BitMap)
    failed: BitMap = field(default_factory=BitMap)
    is_sealed: bool = False
    is_cancelled: bool = False

    @property
    def unheard(self) -> BitMap:
        return BitMap(range(IMAGES)) - self.ok - self.failed


def url_of(job_id: str, index: int) -> str:
    return TERMS.destinations["default"].public_url(job_id, index, _OUTPUT)


def image_of(url: str) -> tuple[str, int]:
    """The job and the index in a public URL."""
    job_id, index, _ = url.removeprefix(f"{BASE}/").split("/")
    return job_id, int(index)


def members(mask: int) -> list[int]:
    """The images whose bits are set."""
    return [index for index in range(IMAGES) if mask >> index & 1]


def customer_at(number: int) -> str:
    return CUSTOMERS[number % len(CUSTOMERS)]
