"""A JPEG that asks for pass after pass is known before it is decoded."""

import random
from io import BytesIO

import pytest
from PIL import Image

from imagelane.processor.core.scans import is_too_complex

NOISE = Image.effect_noise((64, 64), 80).convert("RGB")


def has_more_scans(data: bytes, limit: int) -> bool:
    return is_too_complex(data, max_scans=limit, max_blocks=10_000)


def jpeg(*, progressive: bool) -> bytes:
    file = BytesIO()
    NOISE.save(file, "JPEG", progressive=progressive)
    return file.getvalue()


def with_more_scans(data: bytes, scans: int) -> bytes:
    """The last scan's header and data again and again, before the image's end."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + data[-2:]


def test_ordinary_files_are_let_through() -> None:
    assert not has_more_scans(jpeg(progressive=False), 64)
    assert not has_more_scans(jpeg(progressive=True), 64)


def test_the_limit_is_exact() -> None:
    data = jpeg(progressive=True)
    assert has_more_scans(data, 9)
    assert not has_more_scans(data, 10)


def test_a_bomb_of_scans_is_found() -> None:
    assert has_more_scans(with_more_scans(jpeg(progressive=True), 100), 64)


def test_a_sequential_file_with_all_components_in_its_first_scan_ends_there() -> None:
    assert not has_more_scans(with_more_scans(jpeg(progressive=False), 100), 64)


def test_a_sequential_file_with_a_scan_for_each_component_is_counted() -> None:
    data = jpeg(progressive=False)
    at = data.index(b"\xff\xda")
    apart = data[: at + 4] + b"\x01" + data[at + 5 :]  # the first scan claims one component
    assert has_more_scans(with_more_scans(apart, 100), 64)


def test_what_follows_the_image_is_not_counted() -> None:
    """Phones put a film behind the photo, in which any two bytes may stand."""
    film = random.Random(1).randbytes(1000) + b"\xff\xda\x00\x02" * 200
    assert not has_more_scans(jpeg(progressive=True) + film, 64)


def with_more(data: bytes, segment: bytes, times: int) -> bytes:
    """Behind the first segment."""
    return data[:20] + segment * times + data[20:]


@pytest.mark.parametrize("segment", [b"\xff\xfe\0\2", b"\xff\xe1\0\2", b"\0\0\0", b"\xff\xff\xff"])
def test_segments_and_stray_bytes_before_the_picture_have_a_limit(segment: bytes) -> None:
    assert not is_too_complex(
        with_more(jpeg(progressive=False), segment, 2_000), max_scans=64, max_blocks=10_000
    )
    assert is_too_complex(
        with_more(jpeg(progressive=False), segment, 10_000), max_scans=64, max_blocks=10_000
    )


def test_segments_between_scans_have_a_limit() -> None:
    data = jpeg(progressive=True)
    at = data.rindex(b"\xff\xda")
    data = data[:at] + b"\xff\xfe\0\2" * 20_000 + data[at:]
    assert is_too_complex(data, max_scans=9, max_blocks=10_000)


@pytest.mark.parametrize("end", [b"\0", b"\xd0", b""])
def test_a_long_marker_is_passed_in_no_time(end: bytes) -> None:
    """25 MB of it took minutes once, with a pattern that was tried anew from every byte."""
    data = b"\xff\xd8" + b"\xff" * 25_000_000 + end
    assert is_too_complex(data, max_scans=64, max_blocks=10_000)


@pytest.mark.parametrize("length", range(0, 700, 7))
def test_a_file_cut_off_anywhere_is_looked_at_without_an_error(length: int) -> None:
    assert not has_more_scans(jpeg(progressive=True)[:length], 64)
