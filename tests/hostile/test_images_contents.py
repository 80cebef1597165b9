"""Rows I06, I07, I09 to I11, I13 and I14: what else is in a file, or what it is instead of an image."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image, ImageCms
from tests.hostile.booth import ALL_FORMATS, MIB, booth
from tests.hostile.conftest import ShowRow
from tests.hostile.image_files import chunk, gif_with, jpeg_with, noise, png_with, saved, segment

from imagelane.core.failures import Code
from imagelane.core.image_formats import DEFAULT_FORMATS, ImageFormat
from imagelane.processor.settings import ProcessorSettings

JPEG, PNG, WEBP, GIF, AVIF, TIFF, BMP = ImageFormat


def _telling() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = "secret description"
    exif[0x013B] = "Ada Artist"
    exif[0x8298] = "(c) 2026 Ada Artist\n\x01"
    exif.get_ifd(0x8769)[0x9286] = b"secret comment"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (48.0, 8.0, 12.0)
    return exif


TRACES: Final = (b"secret", b"Exif", b"ICC_PROFILE", b"xmpmeta", b"8BIM", b"Artist")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
async def test_nothing_but_pixels_comes_out(image_format: str, show_row: ShowRow) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options: dict[str, Any] = {"exif": _telling(), "icc_profile": profile}
    if image_format in {"JPEG", "WEBP", "AVIF"}:
        options["xmp"] = b"<x:xmpmeta>secret</x:xmpmeta>"
    data = saved(noise(), image_format, **options)
    assert b"secret" in data
    async with booth(ALL_FORMATS) as child:
        seen = await child.try_(data)
        assert seen.code is None
        assert not [trace for trace in TRACES if trace in seen.result]
        assert not seen.picture.getexif()
    show_row("I06", f"{image_format} with EXIF, GPS, XMP, ICC", "pixels only", "ok")


async def test_by_setting_the_copyright_stays_and_nothing_else(show_row: ShowRow) -> None:
    keeping = ProcessorSettings(children=1, keep_copyright=True)
    async with booth(keeping) as child:
        seen = await child.try_(saved(noise(), "JPEG", exif=_telling()))
        exif = seen.picture.getexif()
        assert dict(exif) == {0x013B: "Ada Artist", 0x8298: "(c) 2026 Ada Artist"}
        assert not [trace for trace in (b"secret", b"ICC_PROFILE") if trace in seen.result]
        unsigned = await child.try_(saved(noise(), "JPEG"))
        assert not unsigned.picture.getexif()
    show_row("I06", "the same, copyright kept by setting", "copyright only", "ok")


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\xff\xff\xff\xff\x01\x02",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(100),
        b"Exif\0\0MM\0*\0\0\0\x08\0\x02" + bytes(24) + b"\0\0\0\x08",  # its next IFD is itself
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\0\0\0\0",  # its own sub-IFD
        b"Exif\0\0" + b"\xff" * 60_000,
    ],
)
async def test_exif_that_makes_no_sense_changes_nothing(exif: bytes, show_row: ShowRow) -> None:
    async with booth() as child:
        plain = await child.try_(saved(noise(), "JPEG"))
        odd = await child.try_(saved(noise(), "JPEG", exif=exif))
        assert odd.result == plain.result
    show_row("I07", f"EXIF that makes no sense, {len(exif)} bytes", "as without", "ok")


POLYGLOTS: Final = {
    "JPEG and HTML": (JPEG, b"<html><script>alert(1)</script></html>"),
    "JPEG and ZIP": (JPEG, b"PK\3\4" + bytes(40) + b"PK\5\6" + bytes(18)),
    "GIF and JavaScript": (GIF, b"/*script*/ = 1; alert(1)"),
    "PNG and PHP": (PNG, b"<?php system($_GET['script']); ?>"),
    "WebP and HTML": (WEBP, b"<script>alert(1)</script>"),
}


@pytest.mark.parametrize("name", POLYGLOTS)
async def test_what_is_two_things_at_once_comes_out_as_one(name: str, show_row: ShowRow) -> None:
    image_format, other = POLYGLOTS[name]
    inside = {
        JPEG: lambda: jpeg_with(segment(0xFE, other)),
        PNG: lambda: png_with(chunk(b"tEXt", b"Comment\0" + other)),
        GIF: lambda: gif_with(b"!\xfe" + bytes((len(other),)) + other + b"\0"),
        WEBP: lambda: saved(noise(), "WEBP"),
    }[image_format]()
    async with booth() as child:
        seen = await child.try_(inside + other)
        assert seen.code is None
        assert seen.result.startswith(b"\xff\xd8\xff\xe0")
        assert seen.result.endswith(b"\xff\xd9")
        assert other not in seen.result
    show_row("I09", name, "a plain JPEG", "ok")


ISO_MEDIA: Final = b"\0\0\0\x18ftyp%s\0\0\0\0mif1%s" + bytes(200)
NO_IMAGES: Final = {
    "SVG": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) run\n",
    "PDF": b"%PDF-1.7\n1 0 obj<<>>endobj\n",
    "PSD": b"8BPS\0\1" + bytes(100),
    "FITS": b"SIMPLE  =                    T".ljust(2_880),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(100),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "BUFR": b"BUFR" + bytes(100),
    "GRIB": b"GRIB" + bytes(3) + b"\1" + bytes(100),
    "ICO": b"\0\0\1\0\1\0" + bytes(100),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "HEIC": ISO_MEDIA.replace(b"%s", b"heic"),
    "MP4": ISO_MEDIA.replace(b"%s", b"isom"),
    "FLI": bytes(4) + b"\x11\xaf" + bytes(122),
    "PPM": b"P6 10 10 255\n" + bytes(300),
    "PCX": b"\x0a\5\1\x08" + bytes(200),
    "TGA": bytes(18) + bytes(300),
    "QOI": b"qoif" + struct.pack(">II", 10, 10) + bytes(100),
    "TIFF, which is not switched on": saved(Image.new("L", (9, 9)), "TIFF"),
    "BMP, which is not switched on": saved(Image.new("L", (9, 9)), "BMP"),
    "an executable": b"\x7fELF" + bytes(200),
}
NOTHINGS: Final = {
    "no bytes": b"",
    "one byte": b"\xff",
    "25 MB of zeros": bytes(25 * MIB),
    "25 MB at random": random.Random(11).randbytes(25 * MIB),
}


async def test_what_is_no_image_of_ours_is_refused_and_starts_nothing(show_row: ShowRow) -> None:
    async with booth() as child:
        tasks = Path("/proc") / str(child.pid) / "task"
        for name, data in NO_IMAGES.items():
            seen = await child.try_(data)
            assert seen.code is Code.NOT_AN_IMAGE, name
            assert [one.name for one in tasks.iterdir()] == [str(child.pid)]
            assert (tasks / str(child.pid) / "children").read_text() == ""
        assert child.is_the_same_child
    show_row("I10", f"{len(NO_IMAGES)} other formats", "no process, no thread", Code.NOT_AN_IMAGE)


async def test_nothing_at_all_is_no_image(show_row: ShowRow) -> None:
    async with booth() as child:
        for name, data in NOTHINGS.items():
            assert (await child.try_(data)).code is Code.NOT_AN_IMAGE, name
        for image_format in ImageFormat:
            head = saved(noise(), image_format)[:64]
            assert (await child.try_(head)).code in {Code.CORRUPT, Code.NOT_AN_IMAGE}
        assert child.is_the_same_child
    show_row("I11", "empty, one byte, header only, zeros, random", "", Code.NOT_AN_IMAGE)


async def test_two_children_make_the_same_bytes_of_the_same_bytes(show_row: ShowRow) -> None:
    results = []
    originals = [saved(noise((1_500, 1_100)), one) for one in (JPEG, PNG, WEBP)]
    for _ in range(2):
        async with booth() as child:
            results.append([(await child.try_(one)).result for one in originals])
    assert results[0] == results[1]
    show_row("I14", "the same files in two children", "the same bytes", "ok")


async def test_a_child_that_does_many_odd_files_grows_no_further(show_row: ShowRow) -> None:
    rng = random.Random(13)
    originals = [saved(noise((200, 150)), one) for one in DEFAULT_FORMATS]
    async with booth() as child:

        async def hundred() -> int:
            for _ in range(100):
                data = bytearray(rng.choice(originals))
                data[rng.randrange(64, len(data))] ^= 1 << rng.randrange(8)
                await child.try_(bytes(data))
            return child.most_memory_bytes()

        after_100 = await hundred()
        after_400 = max([await hundred() for _ in range(3)])
        assert child.is_the_same_child
        assert after_400 - after_100 < 16 * MIB
    show_row(
        "I13", "400 damaged files in one child", f"{(after_400 - after_100) // 1_024} KB more", ""
    )
