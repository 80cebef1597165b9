"""Where the images of a job stand, as sets. Pure: bitmaps in, bitmaps out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pyroaring import BitMap

from imagelane.tracking.views import IMAGE_STATES, ImageState

CALL_FAILED: Final = "call_failed"
"""The code of an image that had its results, and failed in its call: the batch API says no more."""
CALL_FAILED_REASON: Final = "the batch API reported that it failed"

MAX_INDEX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ImageSets:
    """The images of a job by state; every image that was ever heard of is in exactly one."""

    by_state: Mapping[ImageState, BitMap]

    @classmethod
    def of(cls, sets: Mapping[str, Any], planned: BitMap) -> ImageSets:
        """From a row of `job_sets`, and the images in the customer's open call.

        Outcomes come first, and then whatever is furthest on the road.
        """
        road = {
            "delivered": BitMap.deserialize(sets["delivered"]),
            "failed": BitMap.deserialize(sets["failed"]),
            "cancelled": BitMap.deserialize(sets["cancelled"]),
            "in_call": planned,
            "processed": BitMap.deserialize(sets["processed"]),
            "downloaded": BitMap.deserialize(sets["downloaded"]),
            "requested": BitMap.deserialize(sets["requested"]),
        }
        above = BitMap()
        by_state: dict[ImageState, BitMap] = {}
        for state in ("delivered", "failed", "cancelled", *reversed(IMAGE_STATES[:4])):
            by_state[state] = road[state] - above
            above |= road[state]
        return cls(by_state)

    @property
    def all(self) -> BitMap:
        """Every image."""
        return BitMap.union(*self.by_state.values())

    def state_of(self, index: int) -> ImageState | None:
        """Where one image stands; None if nothing was ever heard of it."""
        if index > MAX_INDEX:
            return None
        return next((state for state, images in self.by_state.items() if index in images), None)

    def where(self, index: int) -> ImageState:
        """The same for an image of which something was heard."""
        return self.state_of(index) or "requested"


def page_of(images: BitMap, after: int | None, limit: int) -> list[int]:
    """The next `limit` of the images, by index."""
    begin = 0 if after is None else images.rank(after)
    return list(images[begin : begin + limit])


def chunks_of(images: BitMap, size: int) -> Iterator[list[int]]:
    """All of the images by index, so many at a time."""
    for begin in range(0, len(images), size):
        yield list(images[begin : begin + size])
