"""Which bytes are an image of a format that we take. A server's content type and a file's name say nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ImageFormat(StrEnum):
    """Formats by the names that Pillow gives them."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    GIF = "GIF"
    AVIF = "AVIF"
    TIFF = "TIFF"
    BMP = "BMP"


DEFAULT_FORMATS: Final = (
    ImageFormat.JPEG,
    ImageFormat.PNG,
    ImageFormat.WEBP,
    ImageFormat.GIF,
    ImageFormat.AVIF,
)
"""TIFF and BMP are taken only where a setting says so."""

HEAD_BYTES: Final = 64
"""How many bytes `format_of` wants to see, unless the file is shorter."""

_BEGINNINGS: Final = (
    (b"\xff\xd8\xff", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"II*\0", ImageFormat.TIFF),
    (b"MM\0*", ImageFormat.TIFF),
    (b"BM", ImageFormat.BMP),
)
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_BRAND_BYTES: Final = 4


def format_of(head: bytes) -> ImageFormat | None:
    """The format of a file that begins like this, or None. Says nothing about the rest being sound."""
    for beginning, image_format in _BEGINNINGS:
        if head.startswith(beginning):
            return image_format
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if head[4:8] == b"ftyp" and not _AVIF_BRANDS.isdisjoint(_brands(head)):
        return ImageFormat.AVIF
    return None


def _brands(head: bytes) -> list[bytes]:
    """The major and compatible brands of an ISO media file; its minor version is harmless among them."""
    end = min(int.from_bytes(head[:4]), len(head))
    return [head[at : at + _BRAND_BYTES] for at in range(8, end, _BRAND_BYTES)]
