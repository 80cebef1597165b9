"""A JPEG that lost its end and was closed with a marker is known from one that is whole."""

from io import BytesIO

import pytest
from PIL import Image

from imagelane.processor.whole_jpeg import UNTOUCHED, HeldBack

SIZES = [(1, 1), (17, 33), (333, 251)]
END = b"\xff\xd9"


def saved(mode: str, size: tuple[int, int], **options: object) -> bytes:
    bands = Image.new(mode, (1, 1)).getbands()
    noise = [Image.effect_noise(size, 80) for _ in bands]
    file = BytesIO()
    Image.merge(mode, noise).save(file, "JPEG", quality=85, **options)
    return file.getvalue()


def loaded(data: bytes, scale: int = 1) -> tuple[Image.Image, bool]:
    file = HeldBack(data)
    image = Image.open(file, formats=["JPEG"])
    image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    file.watch(image)
    image.load()
    return image, file.is_cut_off()


def closed_early(data: bytes, percent: int) -> bytes:
    scan = data.index(b"\xff\xda") + 14
    return data[: scan + (len(data) - scan) * percent // 100] + END


@pytest.mark.parametrize("scale", [1, 2, 8])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 2}),
        ("RGB", {"restart_marker_rows": 1}),
        ("RGB", {"progressive": True}),
    ],
)
def test_a_whole_file_keeps_every_pixel(
    mode: str, options: dict[str, object], size: tuple[int, int], scale: int
) -> None:
    data = saved(mode, size, **options)
    plain = Image.open(BytesIO(data))
    plain.draft(None, (max(1, size[0] // scale), max(1, size[1] // scale)))
    for one in (data, data + b"trailing", data + data):
        image, is_cut_off = loaded(one, scale)
        assert not is_cut_off
        assert image.tobytes() == plain.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("percent", [1, 20, 50, 90, 99])
@pytest.mark.parametrize("scale", [1, 2, 8])
def test_a_file_closed_before_its_end_is_cut_off(mode: str, percent: int, scale: int) -> None:
    assert loaded(closed_early(saved(mode, (320, 240)), percent), scale)[1]


def test_a_file_that_misses_a_piece_is_cut_off() -> None:
    data = saved("L", (320, 240), restart_marker_rows=1)
    middle = len(data) // 2
    assert loaded(data[:middle] + data[middle + 5_000 :])[1]


def test_a_picture_whose_last_pixel_has_the_very_colour_is_whole() -> None:
    file = BytesIO()
    Image.new("L", (64, 64), 77).save(file, "JPEG", quality=100)
    image, is_cut_off = loaded(file.getvalue())
    assert not is_cut_off
    assert image.getpixel((63, 63)) == UNTOUCHED[1]
