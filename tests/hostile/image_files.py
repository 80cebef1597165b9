"""Hostile and odd image files, made here from the formats' own rules; nobody's files are kept."""

from __future__ import annotations

import random
import struct
import zlib
from functools import cache
from io import BytesIO
from typing import Any, Final

from PIL import Image, ImageFilter

from imagelane.core.image_formats import ImageFormat

FASTEST: Final[dict[str, dict[str, Any]]] = {
    "AVIF": {"speed": 10},
    "PNG": {"compress_level": 1},
    "WEBP": {"lossless": True, "quality": 0, "method": 0},
}
FIRST_CHUNK: Final = 33
"""Where a PNG's chunks behind its header begin."""


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, image_format, **FASTEST.get(image_format, {}) | options)
    return file.getvalue()


@cache
def noise(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture in which every byte of the file matters, the same every time."""
    coarse = Image.frombytes("RGB", size, random.Random(17).randbytes(3 * size[0] * size[1]))
    return coarse.filter(ImageFilter.SMOOTH)


def chunk(name: bytes, content: bytes = b"") -> bytes:
    """A PNG's chunk with the checksum that it must have."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_with(chunks: bytes, image: Image.Image | None = None) -> bytes:
    """A PNG with more chunks between its header and its pixels."""
    data = saved(image or noise(), "PNG")
    return data[:FIRST_CHUNK] + chunks + data[FIRST_CHUNK:]


def jpeg_with(segments: bytes, image: Image.Image | None = None, **options: Any) -> bytes:
    """A JPEG with more segments behind its first one."""
    data = saved(image or noise(), "JPEG", **options)
    end = 4 + int.from_bytes(data[4:6])
    return data[:end] + segments + data[end:]


def gif_with(blocks: bytes) -> bytes:
    """A GIF with more blocks before its picture."""
    data = saved(noise(), "GIF")
    at = 13 + 3 * 256  # header and palette
    return data[:at] + blocks + data[at:]


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG's segment."""
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2) + content


def claiming(image_format: ImageFormat, width: int, height: int) -> bytes:
    """A file whose header claims such a size; its pixels are those of a small picture."""
    make = {
        ImageFormat.PNG: _png_claiming,
        ImageFormat.WEBP: _webp_claiming,
        ImageFormat.GIF: _gif_claiming,
        ImageFormat.JPEG: _jpeg_claiming,
        ImageFormat.BMP: _bmp_claiming,
        ImageFormat.AVIF: _avif_claiming,
    }
    return make[image_format](width, height)


def _png_claiming(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">II5B", width, height, 8, 2, 0, 0, 0))
    data = saved(noise(), "PNG")
    return data[:8] + header + data[FIRST_CHUNK:]


def _webp_claiming(width: int, height: int) -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    return riff(extended + saved(noise(), "WEBP")[12:])


def riff(chunks: bytes) -> bytes:
    """A WebP of these chunks."""
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def _gif_claiming(width: int, height: int) -> bytes:
    data = saved(noise(), "GIF")
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


def _jpeg_claiming(width: int, height: int) -> bytes:
    data = saved(noise(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _bmp_claiming(width: int, height: int) -> bytes:
    data = saved(noise(), "BMP")
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def _avif_claiming(width: int, height: int) -> bytes:
    data = saved(noise(), "AVIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def more_scans(scans: int) -> bytes:
    """A progressive JPEG whose last pass comes so many times more."""
    data = saved(Image.new("RGB", (4_000, 4_000), (9, 99, 200)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + data[-2:]


def animated(image_format: str, frames: int) -> bytes:
    """An animation of tiny frames, the first one red."""
    size = (16, 16)
    pictures = [Image.new("RGB", size, (220, 30, 30))]
    pictures += [Image.new("RGB", size, (30, n % 251, 220)) for n in range(frames - 1)]
    return saved(pictures[0], image_format, save_all=True, append_images=pictures[1:])


def gif_of_many_frames(frames: int) -> bytes:
    """The last frame of a small GIF so many times."""
    data = animated("GIF", 2)
    second = data.rindex(b"!\xf9")
    return data[:second] + data[second:-1] * frames + data[-1:]


def apng_of_many_frames(frames: int) -> bytes:
    """An APNG of so many frames that are all the same."""
    size = (16, 16)
    data = saved(Image.new("RGB", size, (220, 30, 30)), "PNG")
    pixels = data[FIRST_CHUNK + 8 : -16]
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    place = struct.pack(">IIIIHHBB", *size, 0, 0, 1, 10, 0, 0)
    first = chunk(b"fcTL", struct.pack(">I", 0) + place)
    rest = b"".join(
        chunk(b"fcTL", struct.pack(">I", 2 * n - 1) + place)
        + chunk(b"fdAT", struct.pack(">I", 2 * n) + pixels)
        for n in range(1, frames)
    )
    return data[:FIRST_CHUNK] + control + first + data[FIRST_CHUNK:-12] + rest + data[-12:]


def webp_of_many_frames(frames: int) -> bytes:
    """The last frame of a small WebP animation so many times."""
    data = animated("WEBP", 2)
    second = data.rindex(b"ANMF")
    return riff(data[12:second] + data[second:] * frames)
