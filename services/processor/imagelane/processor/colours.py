"""Colours as they were meant: every mode that Pillow reads, down to opaque sRGB or grey of eight bits."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from io import BytesIO
from typing import Final

from PIL import Image, ImageChops, ImageCms

from imagelane.processor.core.depth import EIGHT_BIT, white_of

INTERPOLABLE: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})
SIXTEEN_BIT_SHADES: Final = 65_536
SRGB: Final = ImageCms.createProfile("sRGB")
MAX_PROFILE_BYTES: Final = 8 << 20
"""The largest that print shops use have four; a JPEG has room for sixteen."""

DAMAGED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,  # a header whose fields do not fit each other
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow and its libraries raise for bytes that they cannot make sense of."""


def interpolable(image: Image.Image) -> Image.Image:
    """The same picture in one of four modes in which samples may be averaged, eight bits each."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _eight_bit(image)
    if "transparency" in image.info or mode in {"LA", "PA", "RGBa"}:
        return image.convert("RGBA")
    if mode == "CMYK" and image.format in {"JPEG", "MPO"} and "adobe" not in image.info:
        return ImageChops.invert(image)  # Pillow takes all of them for inverted, as Adobe's are
    if mode in INTERPOLABLE:
        return image
    return image.convert("L" if mode == "1" else "RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey brought down to eight bits; Pillow's own conversion cuts off all above 255.

    A shade that a 16-bit PNG declares transparent is compared before it loses its lower bits.
    """
    if image.mode not in {"I;16", "I", "F"}:
        image = image.convert("I")
    low_high = image.getextrema()
    scale = EIGHT_BIT / white_of(image.mode, float(low_high[1]))  # type: ignore[arg-type] # one band
    grey = image.point(lambda sample: sample * scale).convert("L")
    transparent = image.info.get("transparency")
    if image.mode == "I;16" and isinstance(transparent, int):
        opacity = [255] * SIXTEEN_BIT_SHADES
        opacity[transparent % SIXTEEN_BIT_SHADES] = 0
        grey.putalpha(image.convert("I").point(opacity, "L"))
        return grey.convert("RGBA")
    return grey


def in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image's colours in sRGB; as they are if the profile is broken or says nothing new."""
    transform = _transform(profile, image.mode) if len(profile) <= MAX_PROFILE_BYTES else None
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    return image if converted is None else converted


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the embedded profile to sRGB; None if it is sRGB, broken, or not one for such pixels."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        result = "RGBA" if mode == "RGBA" else "RGB"
        return ImageCms.buildTransform(source, SRGB, mode, result)
    except (ImageCms.PyCMSError, *DAMAGED):
        return None


def opaque(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The image without transparency, and no longer in inks."""
    if image.mode == "RGBA":
        flat = Image.new("RGB", image.size, background)
        flat.paste(image, mask=image)
        return flat
    return image.convert("RGB") if image.mode == "CMYK" else image
