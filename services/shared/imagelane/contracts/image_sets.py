"""Sets of image indexes, as they stand in events: bitmap, count, and ranges when they are few."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import UNSET, UnsetType
from pyroaring import BitMap

from imagelane.contracts.parts import ImageSet

MAX_RANGES: Final = 16


class UnreadableImageSetError(ValueError):
    """The bitmap is not base64 of a portable Roaring bitmap, or contradicts its count."""


def ranges_of(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending, closed, maximal ranges of ascending indexes."""
    first = last = -2
    for index in indexes:
        if index == last + 1:
            last = index
            continue
        if first >= 0:
            yield first, last
        first = last = index
    if first >= 0:
        yield first, last


def _readable(bitmap: BitMap) -> str | UnsetType:
    shown: list[str] = []
    for first, last in ranges_of(bitmap):
        if len(shown) == MAX_RANGES:
            return UNSET
        shown.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(shown)


def pack(indexes: Iterable[int]) -> ImageSet:
    """The set as it travels. The same indexes always give the same bytes."""
    bitmap = BitMap(indexes)
    bitmap.run_optimize()
    return ImageSet(
        count=len(bitmap),
        bitmap=b64encode(bitmap.serialize()).decode(),
        ranges=_readable(bitmap),
    )


def unpack(images: ImageSet | UnsetType) -> BitMap:
    """The indexes of a set; of an absent one, none. Raises `UnreadableImageSetError`."""
    if images is UNSET:
        return BitMap()
    try:
        bitmap = BitMap.deserialize(b64decode(images.bitmap, validate=True))
    except (binascii.Error, ValueError, MemoryError) as error:
        raise UnreadableImageSetError(f"bitmap: {error}") from error
    if len(bitmap) != images.count:
        raise UnreadableImageSetError(f"count says {images.count}, the bitmap has {len(bitmap)}")
    return bitmap


def pack_some(indexes: BitMap) -> ImageSet | UnsetType:
    """The set, or nothing for an empty one: absent fields keep events short."""
    return pack(indexes) if indexes else UNSET
