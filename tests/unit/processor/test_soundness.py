"""What a file's own bytes tell before a library decodes them."""

import random
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from imagelane.core.failures import Code
from imagelane.core.image_formats import ImageFormat
from imagelane.processor.core.soundness import fault_in
from imagelane.processor.settings import ProcessorSettings

LIMITS = ProcessorSettings(max_blocks=1_000).limits()
NOISE = Image.effect_noise((64, 48), 80).convert("RGB")


def saved(image_format: str, **options: Any) -> bytes:
    file = BytesIO()
    NOISE.save(file, image_format, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


PNG = saved("PNG")
GIF = saved("GIF")
GIF_PICTURE = GIF.index(b",", 13 + 3 * 256)


@pytest.mark.parametrize("image_format", ImageFormat)
def test_whole_files_are_let_through(image_format: ImageFormat) -> None:
    assert fault_in(saved(image_format), image_format, LIMITS) is None


@pytest.mark.parametrize("length", range(8, len(PNG), 97))
def test_a_png_that_is_cut_off_anywhere_is_corrupt(length: int) -> None:
    assert fault_in(PNG[:length], ImageFormat.PNG, LIMITS) is Code.CORRUPT


def test_any_flipped_bit_of_a_pngs_pixels_is_found() -> None:
    rng = random.Random(5)
    first = PNG.index(b"IDAT")
    for _ in range(200):
        damaged = bytearray(PNG)
        damaged[rng.randrange(first, len(PNG) - 12)] ^= 1 << rng.randrange(8)
        assert fault_in(bytes(damaged), ImageFormat.PNG, LIMITS) is Code.CORRUPT


def test_a_wrong_checksum_of_what_is_no_pixel_is_no_fault() -> None:
    data = PNG[:33] + chunk(b"teXt", b"words")[:-4] + b"oops" + PNG[33:]
    assert fault_in(data, ImageFormat.PNG, LIMITS) is None


def test_the_limit_of_chunks_is_exact() -> None:
    more = 1_000 - 3  # header, pixels, end
    assert PNG.count(b"IDAT") == 1
    for count, expected in ((more, None), (more + 1, Code.TOO_COMPLEX)):
        data = PNG[:33] + chunk(b"teSt") * count + PNG[33:]
        assert fault_in(data, ImageFormat.PNG, LIMITS) is expected


def test_only_the_first_frame_of_an_animation_counts() -> None:
    data = PNG[:-12] + chunk(b"fcTL", bytes(26)) + chunk(b"fdAT") * 5_000
    assert fault_in(data, ImageFormat.PNG, LIMITS) is None


@pytest.mark.parametrize("more", [b"!\xfe\1x\0", b"!\xfe" + b"\1x" * 400 + b"\0", b"\0\0"])
def test_a_gifs_blocks_before_its_picture_have_a_limit(more: bytes) -> None:
    for times, expected in ((1, None), (1_000, Code.TOO_COMPLEX)):
        data = GIF[:GIF_PICTURE] + more * times + GIF[GIF_PICTURE:]
        assert fault_in(data, ImageFormat.GIF, LIMITS) is expected


@pytest.mark.parametrize("image_format", ImageFormat)
def test_bytes_of_any_kind_are_looked_at_without_an_error(image_format: ImageFormat) -> None:
    rng = random.Random(3)
    whole = saved(image_format)
    for _ in range(200):
        head = whole[: rng.randrange(len(whole))]
        fault_in(head + rng.randbytes(rng.randrange(300)), image_format, LIMITS)
