"""Pixels, on files that the tests make: right colours, upright, nothing carried over, nothing half done."""

import os
import random
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps, ImageStat

from imagelane.core.failures import Code
from imagelane.core.image_formats import DEFAULT_FORMATS, ImageFormat
from imagelane.core.recipes import RECIPES, OutputSpec
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.imaging import ImageRefusedError, OutputUnwritableError, process

DEFAULT = RECIPES["default"].outputs
ORIGINAL_SIZE = RECIPES["original-size"].outputs
LIMITS = ImageLimits(
    max_pixels=50_000_000,
    max_side=65_535,
    max_scans=64,
    max_blocks=100_000,
    formats=tuple(ImageFormat),
    background=(255, 255, 255),
    keep_copyright=False,
)
NOISE = Image.merge("RGB", [Image.effect_noise((320, 240), 80) for _ in range(3)])
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30)


@contextmanager
def memory_file(data: bytes = b"") -> Iterator[int]:
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    yield descriptor
    os.close(descriptor)


def made_bytes(
    data: bytes, outputs: tuple[OutputSpec, ...] = DEFAULT, limits: ImageLimits = LIMITS
) -> bytes:
    with memory_file(data) as source, memory_file() as target:
        (size,) = process(source, outputs, [target], limits)
        result = os.pread(target, 1 << 26, 0)
    assert opened(result).size == size
    return result


def made(
    data: bytes, outputs: tuple[OutputSpec, ...] = DEFAULT, limits: ImageLimits = LIMITS
) -> Image.Image:
    return opened(made_bytes(data, outputs, limits))


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> Code:
    with pytest.raises(ImageRefusedError) as refused:
        made_bytes(data, limits=limits)
    return refused.value.code


def opened(data: bytes) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # else what the last image was allowed
    image = Image.open(BytesIO(data), formats=["JPEG"])
    image.load()
    return image


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = BytesIO()
    if image_format == "AVIF":
        options["speed"] = 10  # the encoder's, or it takes most of the tests' time
    image.save(file, image_format, **options)
    return file.getvalue()


@cache
def noise(image_format: ImageFormat) -> bytes:
    return saved(NOISE, image_format.value)


def is_coloured(image: Image.Image, colour: tuple[int, int, int], *, within: float = 3) -> bool:
    mean = ImageStat.Stat(image.convert("RGB")).mean
    return all(abs(one - other) <= within for one, other in zip(mean, colour, strict=True))


def corners(image: Image.Image) -> list[tuple[int, int, int]]:
    """Which of the four colours each corner has, from the top left on clockwise."""
    right, bottom = image.width - 5, image.height - 5
    found = []
    for place in ((5, 5), (right, 5), (right, bottom), (5, bottom)):
        pixel: Any = image.convert("RGB").getpixel(place)
        found.append(
            min(
                (RED, GREEN, BLUE, YELLOW),
                key=lambda colour: sum(abs(a - b) for a, b in zip(colour, pixel, strict=True)),
            )
        )
    return found


def quarters(size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    x, y = size[0] // 2, size[1] // 2
    draw.rectangle((0, 0, x, y), RED)
    draw.rectangle((x, 0, size[0], y), GREEN)
    draw.rectangle((x, y, *size), BLUE)
    draw.rectangle((0, y, x, size[1]), YELLOW)
    return image


def test_a_photo_is_fitted_into_the_box() -> None:
    image = made(saved(quarters((3000, 2000)), "JPEG", quality=95))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (1024, 683))
    assert corners(image) == [RED, GREEN, BLUE, YELLOW]


def test_a_small_image_is_not_enlarged() -> None:
    assert made(saved(NOISE, "PNG")).size == NOISE.size


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_every_format_is_decoded(image_format: ImageFormat) -> None:
    data = saved(quarters((1600, 1200)), image_format.value)
    for outputs in (DEFAULT, ORIGINAL_SIZE):
        assert corners(made(data, outputs)) == [RED, GREEN, BLUE, YELLOW]


def test_grey_stays_grey() -> None:
    assert made(saved(NOISE.convert("L"), "JPEG")).mode == "L"


def test_one_decode_serves_several_outputs() -> None:
    outputs = [
        OutputSpec("small", "jpg", "image/jpeg", (100, 100), 85),
        OutputSpec("large", "jpg", "image/jpeg", (800, 800), 85),
    ]
    with (
        memory_file(saved(quarters((2000, 1000)), "JPEG")) as source,
        memory_file() as small,
        memory_file() as large,
    ):
        assert process(source, outputs, [small, large], LIMITS) == [(100, 50), (800, 400)]
        for target, size in ((small, (100, 50)), (large, (800, 400))):
            image = opened(os.pread(target, 1 << 20, 0))
            assert (image.size, corners(image)) == (size, [RED, GREEN, BLUE, YELLOW])


def test_the_same_bytes_give_the_same_bytes() -> None:
    data = saved(NOISE, "JPEG")
    assert made_bytes(data) == made_bytes(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright_to_the_pixel(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(quarters((120, 80)), "JPEG", quality=95, exif=exif)
    reference = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    expected = opened(saved(reference, "JPEG", quality=85))
    assert made(data, ORIGINAL_SIZE).tobytes() == expected.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_every_orientation_is_fitted_upright(image_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = quarters((1500, 1200))
    upright = ImageOps.exif_transpose(Image.open(BytesIO(saved(picture, "JPEG", exif=exif))))
    image = made(saved(picture, image_format, exif=exif))
    assert image.size == ((819, 1024) if orientation > 4 else (1024, 819))
    assert corners(image) == corners(upright)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_is_none_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(quarters((120, 80)), "JPEG", exif=exif)
    assert corners(made(data)) == [RED, GREEN, BLUE, YELLOW]


def test_broken_exif_changes_nothing() -> None:
    data = saved(quarters((120, 80)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x01\x02")
    assert corners(made(data)) == [RED, GREEN, BLUE, YELLOW]


def palette_with_transparency() -> bytes:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([255, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 64, 32))
    return saved(image, "PNG", transparency=0)


def grey_with_transparency() -> bytes:
    image = Image.new("L", (64, 64), 10)
    image.paste(200, (0, 0, 64, 32))
    return saved(image, "PNG", transparency=200)


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (saved(Image.new("1", (64, 64), 1), "PNG"), (255, 255, 255)),
        (saved(Image.new("L", (64, 64), 77), "PNG"), (77, 77, 77)),
        (saved(Image.new("LA", (64, 64), (0, 128)), "PNG"), (127, 127, 127)),
        (saved(Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "PNG"), (255, 255, 255)),
        (saved(Image.new("RGBA", (64, 64), (200, 0, 0, 255)), "PNG"), (200, 0, 0)),
        (saved(Image.new("RGBA", (64, 64), (0, 0, 255, 128)), "WEBP", lossless=True), (127, 127, 255)),
        (saved(Image.new("RGBA", (2000, 2000), (0, 0, 255, 128)), "PNG"), (127, 127, 255)),
        (palette_with_transparency(), (132, 137, 142)),
        (grey_with_transparency(), (132, 132, 132)),
        (saved(Image.new("I;16", (64, 64), 30_000), "PNG"), (117, 117, 117)),
        (saved(Image.new("I;16B", (64, 64), 30_000), "TIFF"), (117, 117, 117)),
        (saved(Image.new("I", (64, 64), 30_000), "TIFF"), (117, 117, 117)),
        (saved(Image.new("I", (64, 64), 1 << 30), "TIFF"), (128, 128, 128)),
        (saved(Image.new("F", (64, 64), 0.5), "TIFF"), (127, 127, 127)),
        (saved(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG"), (255, 0, 0)),
        (saved(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (saved(Image.new("LAB", (64, 64), (255, 128, 128)), "TIFF"), (255, 255, 255)),
        (saved(Image.new("YCbCr", (64, 64), (255, 128, 128)), "TIFF"), (255, 255, 255)),
        (saved(Image.new("P", (64, 64)), "GIF"), (0, 0, 0)),
    ],
)  # fmt: skip
def test_every_mode_keeps_its_colour(data: bytes, colour: tuple[int, int, int]) -> None:
    assert is_coloured(made(data), colour)


def test_deep_grey_keeps_its_range() -> None:
    image = Image.new("I;16", (128, 64), 0)
    image.paste(65_535, (64, 0, 128, 64))
    result = made(saved(image, "PNG"))
    assert (result.getpixel((5, 5)), result.getpixel((120, 5))) == (0, 255)


def test_the_background_is_a_setting() -> None:
    data = saved(Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "PNG")
    assert is_coloured(made(data, limits=replace(LIMITS, background=(255, 128, 0))), (255, 128, 0))


def test_colours_of_transparent_pixels_do_not_shine_through() -> None:
    image = Image.new("RGBA", (2048, 2048), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 1001, 2048))
    low: Any = made(saved(image, "PNG")).getextrema()
    assert min(band[0] for band in low) >= 250


def without_adobe(data: bytes) -> bytes:
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4]) :]


def test_cmyk_without_adobes_marker_is_not_inverted() -> None:
    data = without_adobe(saved(Image.new("CMYK", (64, 64), (255, 0, 0, 255)), "JPEG"))
    assert is_coloured(made(data), (255, 0, 0))  # stored as the inks 0, 255, 255, 0


def test_ycck_is_read_as_adobe_writes_it() -> None:
    cyan: Any = Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
    stored = Image.new("CMYK", (64, 64), (*(255 - one for one in cyan), 0))
    data = saved(stored, "JPEG", quality=95)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    assert is_coloured(made(data[:at] + b"\x02" + data[at + 1 :]), (255, 0, 0), within=4)


def swapped_profile() -> bytes:
    """sRGB with red and green exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"xXYZ").replace(b"gXYZ", b"rXYZ").replace(b"xXYZ", b"gXYZ")
    return profile.replace("sRGB".encode("utf-16be"), "Test".encode("utf-16be"))


@pytest.mark.parametrize("size", [(64, 64), (2000, 1500)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_an_embedded_profile_is_applied(image_format: str, size: tuple[int, int]) -> None:
    data = saved(Image.new("RGB", size, (255, 0, 0)), image_format, icc_profile=swapped_profile())
    assert is_coloured(made(data), (0, 255, 0), within=5)


def test_a_profile_is_applied_beside_transparency() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    data = saved(image, "PNG", icc_profile=swapped_profile())
    assert is_coloured(made(data), (127, 255, 127), within=5)


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        b"no profile",
        b"\0" * 5000,
    ],
)
def test_a_profile_that_says_nothing_new_or_nothing_at_all_changes_nothing(profile: bytes) -> None:
    plain = Image.new("RGB", (64, 64), (200, 100, 50))
    assert made_bytes(saved(plain, "JPEG", icc_profile=profile)) == made_bytes(saved(plain, "JPEG"))


def test_nothing_but_pixels_is_carried_over() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret description"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 12.0)
    data = saved(
        NOISE,
        "JPEG",
        exif=exif,
        comment=b"a secret comment",
        icc_profile=swapped_profile(),
        xmp=b"<x:xmpmeta>a secret packet</x:xmpmeta>",
    )
    result = made_bytes(data + b"<script>trailing</script>")
    for trace in (b"secret", b"Exif", b"ICC_PROFILE", b"xmpmeta", b"script"):
        assert trace not in result
    assert result.startswith(b"\xff\xd8\xff\xe0")
    assert result.endswith(b"\xff\xd9")


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "AVIF", "MPO"])
def test_the_first_frame_is_the_picture(image_format: str) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], image_format, save_all=True, append_images=frames[1:])
    assert is_coloured(made(data), RED, within=5)


@pytest.mark.parametrize("percent", range(5, 100, 5))
@pytest.mark.parametrize("image_format", DEFAULT_FORMATS)
def test_a_file_that_is_cut_off_is_corrupt(image_format: ImageFormat, percent: int) -> None:
    data = noise(image_format)
    assert refusal(data[: len(data) * percent // 100]) == Code.CORRUPT


@pytest.mark.parametrize("draft_size", [(320, 240), (3000, 2000)])
def test_a_progressive_file_that_is_cut_off_is_corrupt(draft_size: tuple[int, int]) -> None:
    data = saved(NOISE.resize(draft_size), "JPEG", progressive=True)
    assert refusal(data[: len(data) // 2]) == Code.CORRUPT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html><body>log in</body></html>",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"8BPS\0\1",
        bytes(100_000),
        random.Random(1).randbytes(100_000),
    ],
)
def test_what_is_no_image_is_refused(data: bytes) -> None:
    assert refusal(data) == Code.NOT_AN_IMAGE


def test_a_format_that_is_not_accepted_is_refused() -> None:
    default = replace(LIMITS, formats=DEFAULT_FORMATS)
    assert refusal(saved(NOISE, "TIFF"), default) == Code.NOT_AN_IMAGE
    assert refusal(saved(NOISE, "BMP"), default) == Code.NOT_AN_IMAGE


def png_claiming(width: int, height: int) -> bytes:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(header)) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + saved(NOISE, "PNG")[33:]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (png_claiming(8_000, 8_000), Code.TOO_MANY_PIXELS),
        (png_claiming(20_000, 20_000), Code.TOO_MANY_PIXELS),
        (png_claiming(65_536, 1), Code.TOO_LARGE_DIMENSION),
        (png_claiming(1, 49_000_000), Code.TOO_LARGE_DIMENSION),
        (saved(Image.new("P", (7_100, 7_100)), "GIF"), Code.TOO_MANY_PIXELS),
    ],
)
def test_what_is_too_large_is_known_from_its_header(data: bytes, code: Code) -> None:
    assert refusal(data) == code


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_the_limit_of_pixels_is_exact(image_format: ImageFormat) -> None:
    data = noise(image_format)
    made_bytes(data, limits=replace(LIMITS, max_pixels=320 * 240))
    assert refusal(data, replace(LIMITS, max_pixels=320 * 240 - 1)) == Code.TOO_MANY_PIXELS


def test_a_result_longer_than_jpeg_allows_is_refused() -> None:
    data = saved(Image.new("L", (65_501, 1)), "PNG")
    with pytest.raises(ImageRefusedError, match="too_large_dimension"):
        made(data, ORIGINAL_SIZE)
    assert made(data, DEFAULT).size == (1024, 1)


def test_a_bomb_of_scans_is_refused_before_it_is_decoded() -> None:
    data = saved(NOISE, "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert refusal(data[:-2] + last * 100 + data[-2:]) == Code.TOO_COMPLEX


def test_a_full_disk_is_not_the_images_fault() -> None:
    full = os.open("/dev/full", os.O_RDWR)
    with memory_file(saved(NOISE, "PNG")) as source, pytest.raises(OutputUnwritableError):
        process(source, DEFAULT, [full], LIMITS)
    os.close(full)
