"""Sound files in every format and in most of its ways, from which broken ones are derived."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from PIL import Image, ImageCms
from tests.hostile.image_files import noise, saved

SIZE: Final = (160, 120)


@cache
def seeds() -> dict[str, bytes]:
    """By name, which begins with the format."""
    picture = noise(SIZE)
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(SIZE))
    palette = picture.quantize(64)
    frames: dict[str, Any] = {"save_all": True, "append_images": [picture.rotate(90)] * 3}
    deep = Image.linear_gradient("L").resize(SIZE).convert("I;16")
    telling: dict[str, Any] = {"exif": _exif(), "icc_profile": _profile()}
    lzw: dict[str, Any] = {"compression": "tiff_lzw"}
    return {
        "JPEG": saved(picture, "JPEG"),
        "JPEG large": saved(noise((2_000, 1_500)), "JPEG", quality=60),
        "JPEG progressive": saved(picture, "JPEG", progressive=True),
        "JPEG restarts": saved(picture, "JPEG", restart_marker_rows=1),
        "JPEG grey": saved(picture.convert("L"), "JPEG"),
        "JPEG inks": saved(picture.convert("CMYK"), "JPEG"),
        "JPEG telling": saved(picture, "JPEG", xmp=b"<x/>", comment=b"c", **telling),
        "JPEG several": saved(picture, "MPO", **frames),
        "PNG": saved(picture, "PNG"),
        "PNG palette": saved(palette, "PNG", transparency=bytes(range(64))),
        "PNG 16 bits": saved(deep, "PNG"),
        "PNG alpha": saved(alpha, "PNG", **telling),
        "PNG animated": saved(picture, "PNG", **frames),
        "WEBP": saved(picture, "WEBP", lossless=False, quality=80),
        "WEBP lossless": saved(picture, "WEBP"),
        "WEBP alpha": saved(alpha, "WEBP", lossless=False, **telling),
        "WEBP animated": saved(picture, "WEBP", **frames),
        "GIF": saved(palette, "GIF", comment=b"words"),
        "GIF animated": saved(picture, "GIF", **frames),
        "AVIF": saved(picture, "AVIF"),
        "AVIF alpha": saved(alpha, "AVIF", **telling),
        "AVIF animated": saved(picture, "AVIF", **frames),
        "TIFF": saved(picture, "TIFF", **telling),
        "TIFF packed": saved(picture, "TIFF", **lzw),
        "TIFF jpeg": saved(picture, "TIFF", compression="jpeg"),
        "TIFF float": saved(Image.linear_gradient("L").convert("F"), "TIFF", **lzw),
        "BMP": saved(picture, "BMP"),
        "BMP palette": saved(palette, "BMP"),
    }


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8298] = "somebody"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 12.0)
    return exif


def _profile() -> bytes:
    """sRGB under another name, so that it is applied."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace("sRGB".encode("utf-16be"), "Test".encode("utf-16be"))
