"""What an original may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from imagelane.core.image_formats import ImageFormat


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Beyond these an image is refused.

    `max_blocks` counts what a file has before its pixels: a PNG's chunks, a JPEG's segments, a GIF's blocks.
    `background` (red, green, blue) lies behind transparent pixels. `keep_copyright` lets the artist and the
    copyright notice go on into results; no other metadata ever does.
    """

    max_pixels: int
    max_side: int
    max_scans: int
    max_blocks: int
    formats: tuple[ImageFormat, ...]
    background: tuple[int, int, int]
    keep_copyright: bool
