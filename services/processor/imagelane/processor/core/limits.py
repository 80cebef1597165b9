"""What an original may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from imagelane.core.image_formats import ImageFormat


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Beyond these an image is refused. `background` (red, green, blue) lies behind transparent pixels."""

    max_pixels: int
    max_side: int
    max_scans: int
    formats: tuple[ImageFormat, ...]
    background: tuple[int, int, int]
