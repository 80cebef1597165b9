"""Rows I01 to I06: files that ask for more than they may, or end too soon, through a real decode child.

Each file ends as a result or with a code, quickly, and the child lives on within its memory.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Final

import pytest
from PIL import Image
from tests.hostile import image_files as files
from tests.hostile.booth import ALL_FORMATS, MIB, booth
from tests.hostile.conftest import ShowRow
from tests.hostile.image_files import chunk, claiming, jpeg_with, noise, png_with, saved, segment

from imagelane.core.failures import Code
from imagelane.core.image_formats import DEFAULT_FORMATS, ImageFormat
from imagelane.core.recipes import RECIPES

JPEG, PNG, WEBP, GIF, AVIF, TIFF, BMP = ImageFormat
RED: Final = (220, 30, 30)


@pytest.mark.parametrize(
    ("image_format", "mode"), [(PNG, "L"), (PNG, "RGBA"), (WEBP, "RGB"), (GIF, "P"), (BMP, "L")]
)
async def test_just_below_the_limit_of_pixels_is_made_within_the_childs_memory(
    image_format: ImageFormat, mode: str, show_row: ShowRow
) -> None:
    data = saved(Image.new(mode, (7_000, 7_000)), image_format)
    async with booth(ALL_FORMATS) as child:
        seen = await child.try_(data)
        assert (seen.code, seen.picture.size) == (None, (1_024, 1_024))
        held = child.most_memory_bytes()
        assert held < ALL_FORMATS.memory_bytes
        assert child.is_the_same_child
    show_row("I01", f"{image_format} of 49 MP, {len(data):,} bytes", f"{held // MIB} MB", "ok")


@pytest.mark.parametrize("size", [(7_200, 7_000), (9_900, 9_900), (16_383, 16_383)])
async def test_above_the_limit_of_pixels_nothing_is_decoded(
    size: tuple[int, int], show_row: ShowRow
) -> None:
    async with booth(ALL_FORMATS) as child:
        idle = child.most_memory_bytes()
        for image_format in (PNG, WEBP, GIF, JPEG, BMP):
            seen = await child.try_(claiming(image_format, *size))
            assert seen.code is Code.TOO_MANY_PIXELS
            assert seen.cpu_seconds < 0.1
        assert child.most_memory_bytes() - idle < 20 * MIB
        seen = await child.try_(claiming(AVIF, *size))
        assert seen.code in {Code.TOO_MANY_PIXELS, Code.CORRUPT}  # its other boxes say otherwise
        assert child.is_the_same_child
    show_row(
        "I01", f"headers that claim {size[0]} x {size[1]}", "not decoded", Code.TOO_MANY_PIXELS
    )


@pytest.mark.parametrize("size", [(65_536, 1), (1, 49_000_000), (49_000_000, 1), (2**31 - 1, 1)])
async def test_a_side_beyond_the_limit_is_refused(size: tuple[int, int], show_row: ShowRow) -> None:
    async with booth(ALL_FORMATS) as child:
        codes = {(await child.try_(claiming(one, *size))).code for one in (PNG, BMP)}
        assert codes <= {Code.TOO_LARGE_DIMENSION, Code.TOO_MANY_PIXELS}
        assert child.is_the_same_child
    show_row(
        "I02",
        f"headers that claim {size[0]} x {size[1]}",
        "not decoded",
        ", ".join(map(str, codes)),
    )


async def test_a_side_of_nothing_is_corrupt(show_row: ShowRow) -> None:
    async with booth(ALL_FORMATS) as child:
        for size in ((0, 10), (10, 0), (0, 0)):
            for image_format in (PNG, JPEG, BMP):
                assert (await child.try_(claiming(image_format, *size))).code is Code.CORRUPT
            # a GIF's frame may be larger than what it claims to be drawn on; everybody shows the frame
            assert (await child.try_(claiming(GIF, *size))).picture.size == noise().size
        assert child.is_the_same_child
    show_row("I02", "headers that claim no width or height", "not decoded", Code.CORRUPT)


async def test_a_bomb_of_scans_is_refused_in_no_time(show_row: ShowRow) -> None:
    async with booth() as child:
        seen = await child.try_(files.more_scans(2_000))
        assert seen.code is Code.TOO_COMPLEX
        assert seen.cpu_seconds < 0.05
        assert (await child.try_(saved(noise(), "JPEG"))).code is None
        assert child.is_the_same_child
    show_row("I03", "2,000 scans", f"{seen.cpu_seconds * 1_000:.0f} ms", Code.TOO_COMPLEX)


@pytest.mark.parametrize("image_format", DEFAULT_FORMATS)
async def test_whatever_its_length_a_cut_file_is_corrupt(
    image_format: ImageFormat, show_row: ShowRow
) -> None:
    data = saved(noise(), image_format)
    async with booth() as child:
        for percent in (*range(5, 100, 5), 99):
            for recipe in RECIPES:
                seen = await child.try_(data[: len(data) * percent // 100], recipe)
                assert seen.code is Code.CORRUPT, percent
        assert child.is_the_same_child
    show_row("I04", f"{image_format} cut off at each 5 %", "nothing stored", Code.CORRUPT)


async def test_a_photo_that_was_cut_off_and_closed_again_is_corrupt(show_row: ShowRow) -> None:
    """Decoders make grey of what is missing, and do not say so."""
    data = saved(noise((1_600, 1_200)), "JPEG", quality=90)
    async with booth() as child:
        for percent in (10, 50, 90, 99):
            for recipe in RECIPES:
                seen = await child.try_(data[: len(data) * percent // 100] + b"\xff\xd9", recipe)
                assert seen.code is Code.CORRUPT, (percent, recipe)
    show_row("I04", "JPEG cut off, closed with an end marker", "nothing stored", Code.CORRUPT)


async def test_flipped_bits_in_a_pngs_pixels_are_found(show_row: ShowRow) -> None:
    rng = random.Random(4)
    data = saved(noise(), "PNG")
    async with booth() as child:
        for _ in range(20):
            damaged = bytearray(data)
            damaged[rng.randrange(60, len(data) - 20)] ^= 1 << rng.randrange(8)
            assert (await child.try_(bytes(damaged))).code is Code.CORRUPT
    show_row("I04", "PNG with one bit flipped, 20 times", "nothing stored", Code.CORRUPT)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("GIF of 100,000 frames", lambda: files.gif_of_many_frames(100_000)),
        ("APNG of 100,000 frames", lambda: files.apng_of_many_frames(100_000)),
        ("WebP of 100,000 frames", lambda: files.webp_of_many_frames(100_000)),
        ("AVIF of 100 frames", lambda: files.animated("AVIF", 100)),
    ],
)
async def test_of_an_animation_only_the_first_frame_costs_anything(
    name: str, data: Callable[[], bytes], show_row: ShowRow
) -> None:
    async with booth() as child:
        seen = await child.try_(data())
        assert seen.code is None
        assert seen.is_coloured(RED, within=6)
        assert seen.cpu_seconds < 1
        assert child.is_the_same_child
    show_row("I05", name, f"{seen.cpu_seconds * 1_000:.0f} ms, first frame", "ok")


def _zipped(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def _icc_of(size: int) -> bytes:
    pieces = [bytes(65_000) for _ in range(size // 65_000)][:255]
    return b"".join(
        segment(0xE2, b"ICC_PROFILE\0" + bytes((n + 1, len(pieces))) + one)
        for n, one in enumerate(pieces)
    )


BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "PNG, zTXt of 200 MB": lambda: png_with(chunk(b"zTXt", b"a\0\0" + _zipped(200 * MIB))),
    "PNG, iTXt of 200 MB": lambda: png_with(chunk(b"iTXt", b"a\0\1\0\0\0" + _zipped(200 * MIB))),
    "PNG, iCCP of 200 MB": lambda: png_with(chunk(b"iCCP", b"a\0\0" + _zipped(200 * MIB))),
    "PNG, 40,000 texts": lambda: png_with(chunk(b"tEXt", b"a\0b") * 40_000),
    "PNG, a million chunks": lambda: png_with(chunk(b"teSt") * 1_000_000),
    "PNG, 300,000 empty IDAT": lambda: png_with(chunk(b"IDAT") * 300_000),
    "JPEG, 150 EXIF segments": lambda: jpeg_with(
        segment(0xE1, b"Exif\0\0II*\0" + bytes(65_000)) * 150
    ),
    "JPEG, a million comments": lambda: jpeg_with(segment(0xFE, b"") * 1_000_000),
    "JPEG, 10 MB of stray bytes": lambda: jpeg_with(bytes(10 * MIB)),
    "JPEG, a marker of 10 MB": lambda: jpeg_with(b"\xff" * 10 * MIB),
    "JPEG, ICC profile of 16 MB": lambda: jpeg_with(_icc_of(16_500_000)),
    "JPEG, XMP of 60 KB": lambda: jpeg_with(
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<a " * 20_000)
    ),
    "GIF, a million comments": lambda: files.gif_with(b"!\xfe\1x\0" * 1_000_000),
    "GIF, a comment of a million blocks": lambda: files.gif_with(
        b"!\xfe" + b"\1x" * 1_000_000 + b"\0"
    ),
    "GIF, 5 MB of stray bytes": lambda: files.gif_with(bytes(5 * MIB)),
    "WebP, a million unknown chunks": lambda: files.riff(
        saved(noise(), "WEBP")[12:] + b"ABCD\0\0\0\0" * 1_000_000
    ),
    "AVIF, a million boxes": lambda: saved(noise(), "AVIF") + b"\0\0\0\x08free" * 1_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_beside_the_pixels_end_within_the_limits(name: str, show_row: ShowRow) -> None:
    async with booth() as child:
        seen = await child.try_(BOMBS[name]())
        assert seen.code in {None, Code.CORRUPT, Code.TOO_COMPLEX}
        assert seen.cpu_seconds < 1.5
        assert child.most_memory_bytes() < 256 * MIB
        assert (await child.try_(saved(noise(), "JPEG"))).code is None
        assert child.is_the_same_child
    show_row("I06", name, f"{seen.cpu_seconds * 1_000:.0f} ms", str(seen.code or "ok"))
