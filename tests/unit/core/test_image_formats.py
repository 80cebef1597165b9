from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelane.core.image_formats import DEFAULT_FORMATS, HEAD_BYTES, ImageFormat, format_of

IMAGES = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", ImageFormat.WEBP),
    (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", ImageFormat.AVIF),
    (b"\x00\x00\x00\x1cftypavis\x00\x00\x00\x00msf1", ImageFormat.AVIF),
    (b"\x00\x00\x00\x20ftypmif1\x00\x00\x00\x00mif1avifmiafMA1B", ImageFormat.AVIF),
    (b"II*\x00", ImageFormat.TIFF),
    (b"MM\x00*", ImageFormat.TIFF),
    (b"BM", ImageFormat.BMP),
]
OTHERS = [
    b"",
    b"\xff",
    b"\xff\xd8",
    b"<html>",
    b"<svg xmlns",
    b"%PDF-1.7",
    b"%!PS-Adobe",
    b"PK\x03\x04",
    b"\x7fELF",
    b'{"error": 1}',
    b"RIFF\x10\x00\x00\x00WAVE",
    b"RIFF",
    b"\x00\x00\x00\x1cftypmp42\x00\x00\x00\x00isom",
    b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
    b"\x00\x00\x00\x10ftypheic\x00\x00\x00\x00avif",  # beyond the box
    b"ftyp",
    b"8BPS",
    b"\x00\x00\x01\x00",
]


@pytest.mark.parametrize(("head", "image_format"), IMAGES)
def test_an_image_is_known_by_its_first_bytes(head: bytes, image_format: ImageFormat) -> None:
    assert format_of(head) is image_format


@pytest.mark.parametrize("head", OTHERS)
def test_anything_else_is_no_image(head: bytes) -> None:
    assert format_of(head) is None


def test_tiff_and_bmp_are_taken_only_by_setting() -> None:
    assert ImageFormat.TIFF not in DEFAULT_FORMATS
    assert ImageFormat.BMP not in DEFAULT_FORMATS


@given(st.binary(max_size=HEAD_BYTES))
def test_no_bytes_break_it(head: bytes) -> None:
    assert format_of(head) in {None, *ImageFormat}
