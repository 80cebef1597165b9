"""How much work a JPEG asks for: its segments and scans, counted without decoding any.

Each scan of a progressive file costs a pass over the whole image, however few bytes it has:
156 KB with 2,000 scans were seen to take 14 seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# In entropy-coded data 0xFF is followed by 0x00 or a restart marker; anything else is a marker. A marker may
# begin with many 0xFF, of which this finds the last: a pattern that takes them all is quadratic in their number.
_NEXT_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_WITHOUT_LENGTH: Final = frozenset({0x01, 0xD8})
_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_SCAN_MARKER: Final = b"\xff\xda"
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


def is_too_complex(jpeg: bytes, *, max_scans: int, max_blocks: int) -> bool:
    """Whether decoding the first image takes more scans, or getting there more steps.

    A step is a segment, or a stray byte before the first scan: decoders look at each.
    """
    steps = scans = after = 0
    for code, segment, end in _markers(jpeg):
        steps += 1 if scans else segment - after - 1
        scans += code == _START_OF_SCAN
        if steps > max_blocks or scans > max_scans:
            return True
        if scans == 1 and (is_one_scan(jpeg) or jpeg.count(_SCAN_MARKER) <= max_scans):
            return False  # nearly every file, and cheap to know; the exact count is not
        after = end
    return not scans and steps + len(jpeg) - after > max_blocks


def is_one_scan(jpeg: bytes) -> bool:
    """Whether the first scan holds all components of a sequential image: decoders stop after it."""
    components = b""
    for code, segment, _ in _markers(jpeg):
        if code in _PROGRESSIVE:
            return False
        if code in _START_OF_FRAME:
            components = jpeg[segment + 7 : segment + 8]
        if code == _START_OF_SCAN:
            return jpeg[segment + 2 : segment + 3] == components
    return True


def _markers(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker's code and where its segment begins and ends, up to the end of the image.

    What follows there is another image, or a phone's film: it is not decoded.
    """
    at = 0
    while (marker := _NEXT_MARKER.search(jpeg, at)) and marker[1][0] != _END_OF_IMAGE:
        segment = at = marker.end()
        if marker[1][0] not in _WITHOUT_LENGTH:
            at += int.from_bytes(jpeg[at : at + 2])
        yield marker[1][0], segment, at
