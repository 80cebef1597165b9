"""Rows I07 and I08: every way to store a picture comes out in the colours that it was meant to have.

Each file holds four patches beside each other; the colour in the middle of each is compared.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

import pytest
from PIL import Image
from tests.hostile.conftest import ShowRow
from tests.hostile.image_files import chunk, saved

from imagelane.core.image_formats import ImageFormat
from imagelane.core.recipes import RECIPES
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.imaging import process_bytes
from imagelane.processor.settings import ProcessorSettings

Colour = tuple[int, int, int]

PATCH: Final = 64
WHITE: Final = (255, 255, 255)
LIMITS: Final = ProcessorSettings(formats=frozenset(ImageFormat)).limits()


def patches(mode: str, values: Sequence[Any]) -> Image.Image:
    """One patch for each value."""
    if mode.startswith("I;16"):  # in which Pillow cannot paste
        order = ">" if mode.endswith("B") else "<"
        row = b"".join(struct.pack(f"{order}H", value) * PATCH for value in values)
        return Image.frombytes(mode, (PATCH * len(values), PATCH), row * PATCH)
    image = Image.new(mode, (PATCH * len(values), PATCH))
    for number, value in enumerate(values):
        image.paste(value, (number * PATCH, 0, (number + 1) * PATCH, PATCH))
    return image


def made(data: bytes, recipe: str = "original-size", limits: ImageLimits = LIMITS) -> Image.Image:
    target = os.memfd_create("target")
    try:
        process_bytes(data, RECIPES[recipe].outputs, [target], limits)
        result = os.pread(target, 1 << 26, 0)
    finally:
        os.close(target)
    return Image.open(BytesIO(result), formats=["JPEG"]).convert("RGB")


def colours(image: Image.Image, count: int) -> list[Colour]:
    """The middle of each patch."""
    step = image.width // count
    found: list[Any] = [
        image.getpixel((n * step + step // 2, image.height // 2)) for n in range(count)
    ]
    return found


def greys(values: Sequence[float]) -> list[Colour]:
    return [(round(value), round(value), round(value)) for value in values]


def inks(*values: int) -> Colour:
    """What inks of so much cyan, magenta, yellow and black leave of white paper."""
    *colour, black = values
    red, green, blue = (round((255 - one) * (255 - black) / 255) for one in colour)
    return red, green, blue


def over(colour: Colour, alpha: int, background: Colour = WHITE) -> Colour:
    red, green, blue = (
        round((one * alpha + behind * (255 - alpha)) / 255)
        for one, behind in zip(colour, background, strict=True)
    )
    return red, green, blue


DEEP: Final = (0, 8_192, 30_000, 65_535)
INKS: Final = ((0, 0, 0, 0), (255, 0, 0, 0), (0, 200, 100, 50), (0, 0, 0, 255))
PAINTED: Final = ((255, 0, 0, 255), (0, 0, 255, 128), (0, 255, 0, 0), (200, 100, 50, 64))
SHOWN: Final = [over(one[:3], one[3]) for one in PAINTED]


def sixteen_bit_png(bands: int, values: Sequence[Sequence[int]]) -> bytes:
    """Sixteen bits a sample, which Pillow itself writes in grey only."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[bands]
    row = b"\0" + b"".join(struct.pack(f">{bands}H", *one) * PATCH for one in values)
    header = struct.pack(">II5B", PATCH * len(values), PATCH, 16, kind, 0, 0, 0)
    pixels = zlib.compress(row * PATCH)
    png = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + png


def without_adobe(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) :]


def ycck(values: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Inks as Adobe writes them: three as if they were red, green and blue, the black one inverted."""
    stored = []
    for *colour, black in values:
        light: Any = Image.new("RGB", (1, 1), tuple(colour)).convert("YCbCr").getpixel((0, 0))
        stored.append((*(255 - one for one in light), black))  # Pillow inverts as it writes
    data = saved(patches("CMYK", stored), "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\2" + data[at + 1 :]


def palette(**options: Any) -> bytes:
    image = patches("P", (0, 1, 2, 3))
    image.putpalette([part for one in PAINTED for part in one[:3]])
    return saved(image, "PNG", **options)


def unpremultiplied() -> bytes:
    """RGBA in a TIFF that says its colours are multiplied already."""
    premultiplied = patches("RGBA", PAINTED).convert("RGBa")
    data = bytearray(
        saved(Image.frombytes("RGBA", premultiplied.size, premultiplied.tobytes()), "TIFF")
    )
    entry = data.index(struct.pack("<HHI", 338, 3, 1))
    struct.pack_into("<H", data, entry + 8, 1)
    return bytes(data)


CASES: Final[dict[str, tuple[bytes, list[Colour]]]] = {
    "1 bit": (saved(patches("1", (0, 1, 0, 1)), "PNG"), greys((0, 255, 0, 255))),
    "grey": (saved(patches("L", (0, 77, 128, 255)), "PNG"), greys((0, 77, 128, 255))),
    "16-bit grey": (
        saved(patches("I;16", DEEP), "PNG"),
        greys([one / 257 for one in DEEP]),
    ),
    "16-bit grey, not using its range": (
        saved(patches("I;16", (0, 100, 2_000, 30_000)), "PNG"),
        greys((0, 0, 8, 117)),
    ),
    "16-bit grey, one shade transparent": (
        saved(patches("I;16", (0, 30_000, 30_001, 65_535)), "PNG", transparency=30_000),
        [(0, 0, 0), WHITE, (117, 117, 117), WHITE],
    ),
    "16-bit grey, big-endian TIFF": (
        saved(patches("I;16B", DEEP), "TIFF"),
        greys([one / 257 for one in DEEP]),
    ),
    "16-bit grey with alpha": (
        sixteen_bit_png(2, ((0, 65_535), (30_000, 65_535), (0, 0), (0, 32_896))),
        [(0, 0, 0), (117, 117, 117), WHITE, (127, 127, 127)],
    ),
    "16-bit colour": (
        sixteen_bit_png(3, ((65_535, 0, 0), (0, 30_000, 0), (0, 0, 0), (1_000, 2_000, 60_000))),
        [(255, 0, 0), (0, 117, 0), (0, 0, 0), (4, 8, 233)],
    ),
    "32-bit grey of 16-bit range": (
        saved(patches("I", DEEP), "TIFF"),
        greys([one / 257 for one in DEEP]),
    ),
    "floating point, 0 to 1": (
        saved(patches("F", (0.0, 0.25, 0.5, 1.0)), "TIFF"),
        greys((0, 64, 127, 255)),
    ),
    "floating point, 0 to 255": (
        saved(patches("F", (0.0, 64.0, 127.0, 255.0)), "TIFF"),
        greys((0, 64, 127, 255)),
    ),
    "palette": (palette(), [one[:3] for one in PAINTED]),
    "palette, one colour transparent": (
        palette(transparency=2),
        [(255, 0, 0), (0, 0, 255), WHITE, (200, 100, 50)],
    ),
    "palette with alpha": (palette(transparency=bytes(one[3] for one in PAINTED)), SHOWN),
    "grey with alpha": (
        saved(patches("LA", ((0, 255), (0, 128), (0, 0), (200, 64))), "PNG"),
        [over((one, one, one), alpha) for one, alpha in ((0, 255), (0, 128), (0, 0), (200, 64))],
    ),
    "colour with alpha, PNG": (saved(patches("RGBA", PAINTED), "PNG"), SHOWN),
    "colour with alpha, WebP": (saved(patches("RGBA", PAINTED), "WEBP"), SHOWN),
    "colour with alpha, AVIF": (saved(patches("RGBA", PAINTED), "AVIF", quality=95), SHOWN),
    "colour with alpha, multiplied": (unpremultiplied(), SHOWN),
    "inks as Adobe stores them": (
        saved(patches("CMYK", INKS), "JPEG", quality=95),
        [inks(*one) for one in INKS],
    ),
    "inks without Adobe's mark": (
        without_adobe(
            saved(
                patches("CMYK", [tuple(255 - part for part in one) for one in INKS]),
                "JPEG",
                quality=95,
            )
        ),
        [inks(*one) for one in INKS],
    ),
    "inks as YCCK": (ycck(INKS), [inks(*one) for one in INKS]),
    "inks in a TIFF": (saved(patches("CMYK", INKS), "TIFF"), [inks(*one) for one in INKS]),
    "Lab": (
        saved(patches("LAB", ((0, 128, 128), (255, 128, 128), (138, 209, 198), (137, 128, 128))), "TIFF"),
        [(0, 0, 0), WHITE, (254, 0, 0), (128, 128, 128)],
    ),
    "luminance and chrominance": (
        saved(patches("YCbCr", ((0, 128, 128), (255, 128, 128), (76, 85, 255), (150, 44, 21))), "TIFF"),
        [(0, 0, 0), WHITE, (254, 0, 0), (0, 255, 0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_colours_are_those_that_were_meant(name: str, show_row: ShowRow) -> None:
    data, expected = CASES[name]
    found = colours(made(data), len(expected))
    for one, other in zip(found, expected, strict=True):
        assert all(abs(a - b) <= 5 for a, b in zip(one, other, strict=True)), (found, expected)
    show_row("I08", name, "colours as meant", "ok")


@pytest.mark.parametrize("background", [WHITE, (0, 0, 0), (255, 128, 0)])
def test_what_is_behind_transparency_is_a_setting(background: Colour, show_row: ShowRow) -> None:
    data = saved(patches("RGBA", PAINTED), "PNG")
    found = colours(made(data, limits=replace(LIMITS, background=background)), len(PAINTED))
    expected = [over(one[:3], one[3], background) for one in PAINTED]
    for one, other in zip(found, expected, strict=True):
        assert all(abs(a - b) <= 5 for a, b in zip(one, other, strict=True)), (found, expected)
    show_row("I08", f"transparency over {background}", "colours as meant", "ok")


CORNERS: Final = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
"""Of the upright picture: from the left, upper row first."""
STORED: Final = {
    1: (0, 1, 2, 3),
    2: (1, 0, 3, 2),
    3: (3, 2, 1, 0),
    4: (2, 3, 0, 1),
    5: (0, 2, 1, 3),
    6: (1, 3, 0, 2),
    7: (3, 1, 2, 0),
    8: (2, 0, 3, 1),
}
"""For each orientation the order in which the four corners lie in the file, by the EXIF standard:
6, say, has the upright picture's left side above, so that it is to be turned clockwise."""


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_orientation_comes_out_upright(
    image_format: str, recipe: str, show_row: ShowRow
) -> None:
    for orientation, order in STORED.items():
        is_sideways = orientation > 4
        wide, high = (960, 1_280) if is_sideways else (1_280, 960)
        image = Image.new("RGB", (wide, high))
        for place, corner in enumerate(order):
            left, top = (place % 2) * wide // 2, (place // 2) * high // 2
            image.paste(CORNERS[corner], (left, top, left + wide // 2, top + high // 2))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"compression": "tiff_lzw"} if image_format == "TIFF" else {}
        result = made(saved(image, image_format, exif=exif, **options), recipe)
        assert result.size == ((1_280, 960) if recipe == "original-size" else (1_024, 768))
        points = [(x * result.width // 4, y * result.height // 4) for y in (1, 3) for x in (1, 3)]
        for point, expected in zip(points, CORNERS, strict=True):
            found: Any = result.getpixel(point)
            assert all(abs(a - b) <= 6 for a, b in zip(found, expected, strict=True)), orientation
    show_row("I07", f"{image_format}, orientations 1 to 8, {recipe}", "upright", "ok")
