"""What can be told of a file before any library decodes it. Cheap, and bounded for any bytes."""

from __future__ import annotations

from typing import Final

from imagelane.core.failures import Code
from imagelane.core.image_formats import ImageFormat
from imagelane.processor.core.chunks import fault_in_chunks
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.core.scans import is_too_complex

_GIF_HEADER_BYTES: Final = 13
_GIF_EXTENSION: Final = 0x21
_GIF_ENDINGS: Final = frozenset({0x2C, 0x3B})  # an image, or the file's trailer


def fault_in(data: bytes, image_format: ImageFormat, limits: ImageLimits) -> Code | None:
    """Why the file must not be decoded, or None. WebP and AVIF are checked by their libraries."""
    if image_format is ImageFormat.PNG:
        return fault_in_chunks(data, max_chunks=limits.max_blocks)
    if image_format is ImageFormat.JPEG:
        too_complex = is_too_complex(data, max_scans=limits.max_scans, max_blocks=limits.max_blocks)
    else:
        too_complex = image_format is ImageFormat.GIF and _has_more_blocks(data, limits.max_blocks)
    return Code.TOO_COMPLEX if too_complex else None


def _has_more_blocks(gif: bytes, limit: int) -> bool:
    """Whether more than `limit` blocks, or stray bytes, come before the first picture."""
    flags = int.from_bytes(gif[10:11])
    at = _GIF_HEADER_BYTES + (3 << (flags & 0x07) + 1 if flags & 0x80 else 0)
    inside = False  # an extension, among its blocks
    for _ in range(limit):
        if at >= len(gif) or (not inside and gif[at] in _GIF_ENDINGS):
            return False
        if inside:
            inside = gif[at] != 0
            at += gif[at] + 1
        elif gif[at] == _GIF_EXTENSION:
            inside = True
            at += 2
        else:
            at += 1
    return True
