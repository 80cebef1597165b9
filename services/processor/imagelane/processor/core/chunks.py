"""A PNG's chunks, looked at before anything is decoded.

Decoders skip the checksums of pixel data, and what is wrong there comes out as other pixels.
"""

from __future__ import annotations

import zlib
from typing import Final

from imagelane.core.failures import Code

_SIGNATURE_BYTES: Final = 8
_BESIDE_CONTENT_BYTES: Final = 12  # length, name and checksum
_ANCILLARY: Final = 0x20  # in the name's first letter


def fault_in_chunks(png: bytes, *, max_chunks: int) -> Code | None:
    """Why the first picture must not be decoded: cut off, damaged, or in too many pieces."""
    view = memoryview(png)
    at, has_pixels = _SIGNATURE_BYTES, False
    for _ in range(max_chunks):
        name = png[at + 4 : at + 8]
        if name == b"fcTL" and has_pixels:
            return None  # an animation's second frame
        end = at + _BESIDE_CONTENT_BYTES + int.from_bytes(view[at : at + 4])
        if end > len(png):
            return Code.CORRUPT
        if not name[0] & _ANCILLARY and _differs(view[at + 4 : end]):
            return Code.CORRUPT
        if name == b"IEND":
            return None
        has_pixels = has_pixels or name == b"IDAT"
        at = end
    return Code.TOO_COMPLEX


def _differs(checked: memoryview) -> bool:
    """Whether name and content have another checksum than the one behind them."""
    return zlib.crc32(checked[:-4]) != int.from_bytes(checked[-4:])
