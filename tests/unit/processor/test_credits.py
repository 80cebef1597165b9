"""The copyright that may go on into results, and nothing beside it."""

import pytest
from PIL import Image

from imagelane.processor.credits import credits_of

COPYRIGHT = 0x8298


def kept(notice: bytes) -> bytes:
    exif = Image.Exif()
    exif[COPYRIGHT] = notice
    exif[0x010E] = b"a secret description"
    read = Image.Exif()
    read.load(exif.tobytes())
    result = credits_of(read)
    assert b"secret" not in result
    told = Image.Exif()
    told.load(result)
    text = told.get(COPYRIGHT, "")
    assert isinstance(text, str)
    return text.encode("latin-1")


@pytest.mark.parametrize(
    ("notice", "expected"),
    [
        (b"(c) 2026 Ada", b"(c) 2026 Ada"),
        ("© 2026 Zoë".encode(), "© 2026 Zoë".encode()),
        (b" two\nlines\x01\x7f ", b"twolines"),
        (b"x" * 5_000, b"x" * 1_000),
    ],
)
def test_the_notice_is_kept_as_plain_text_of_a_bounded_length(
    notice: bytes, expected: bytes
) -> None:
    assert kept(notice) == expected


def test_nothing_is_kept_where_there_is_nothing() -> None:
    assert credits_of(Image.Exif()) == b""
    assert kept(b" ") == b""
