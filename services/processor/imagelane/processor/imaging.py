"""Pixels: one original in, the outputs of its recipe out. The only module that knows Pillow.

Runs inside the expendable decode children, and in one process where a benchmark wants the bare work.
"""

from __future__ import annotations

import errno
import struct
import warnings
import zlib
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from typing import Final

# The plugins by name: found here before the child gives up opening files, and no other one after.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from imagelane.core.failures import Code
from imagelane.core.image_formats import HEAD_BYTES, ImageFormat, format_of
from imagelane.core.recipes import OutputSpec
from imagelane.processor.core.depth import EIGHT_BIT, white_of
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.core.plan import Size, plan
from imagelane.processor.core.scans import has_more_scans

PLUGINS: Final = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
Image.preinit()  # else the first `open` does it
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one image, one thread; a child may start no other

UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image of this EXIF orientation upright."""

ENCODERS: Final = {"image/jpeg": "JPEG"}
INTERPOLABLE: Final = frozenset({"L", "RGB", "RGBA", "CMYK"})
SRGB: Final = ImageCms.createProfile("sRGB")

Box = tuple[float, float, float, float]

ORIENTATION_TAG: Final = 0x0112
REDUCING_GAP: Final = 1.5
JPEG_MAX_SIDE: Final = 65_500  # libjpeg writes no longer one

DAMAGED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow and its libraries raise for bytes that they cannot make sense of."""


class ImageRefusedError(Exception):
    """The image is at fault. Carries the public code."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


class OutputUnwritableError(Exception):
    """The store's file takes no more bytes. The image is not at fault."""


def process(
    source: int, outputs: Sequence[OutputSpec], targets: Sequence[int], limits: ImageLimits
) -> list[Size]:
    """Decodes the descriptor `source` once and writes each output to its descriptor in `targets`.

    Returns the outputs' sizes in pixels. Raises `ImageRefusedError`, `OutputUnwritableError`;
    `MemoryError` and everything unforeseen mean that this process is better not used again.
    """
    return process_bytes(_read_all(source), outputs, targets, limits)


def process_bytes(
    data: bytes, outputs: Sequence[OutputSpec], targets: Sequence[int], limits: ImageLimits
) -> list[Size]:
    """As `process`, of an original that is in memory already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of oddities that change nothing
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return _process(data, outputs, targets, limits)


def _process(
    data: bytes, outputs: Sequence[OutputSpec], targets: Sequence[int], limits: ImageLimits
) -> list[Size]:
    image = _opened(data, limits)
    orientation = _orientation(image)
    planned = plan(image.size, orientation, outputs)
    if any(max(size) > JPEG_MAX_SIDE for size in planned.targets):
        raise ImageRefusedError(Code.TOO_LARGE_DIMENSION)
    profile = image.info.get("icc_profile")
    try:
        box = _loaded(image, planned.draft)
        image = _interpolable(image)
        results = [
            _finished(image, size, box, profile, orientation, limits.background)
            for size in planned.targets
        ]
    except DAMAGED as error:
        raise ImageRefusedError(Code.CORRUPT) from error
    for result, output, target in zip(results, outputs, targets, strict=True):
        _write(result, output, target)
    return [result.size for result in results]


def _read_all(source: int) -> bytes:
    with open(source, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        return file.readall()


def _opened(data: bytes, limits: ImageLimits) -> Image.Image:
    """The image with its header read and found within the limits; no pixel is decoded yet."""
    image_format = format_of(data[:HEAD_BYTES])
    if image_format not in limits.formats:
        raise ImageRefusedError(Code.NOT_AN_IMAGE)
    if image_format is ImageFormat.JPEG and has_more_scans(data, limits.max_scans):
        raise ImageRefusedError(Code.TOO_COMPLEX)
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        image = Image.open(BytesIO(data), formats=[image_format])
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ImageRefusedError(Code.TOO_MANY_PIXELS) from None
    except DAMAGED as error:
        raise ImageRefusedError(Code.CORRUPT) from error
    if max(image.size) > limits.max_side:
        raise ImageRefusedError(Code.TOO_LARGE_DIMENSION)
    if image.width * image.height > limits.max_pixels:
        raise ImageRefusedError(Code.TOO_MANY_PIXELS)
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where it says nothing that makes sense."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except DAMAGED:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _loaded(image: Image.Image, draft: Size | None) -> Box | None:
    """Decodes the first frame, a JPEG at a fraction of its size if that is enough.

    Returns the part of the decoded pixels that is the image (a scaled decode rounds up), or None for all.
    """
    drafted = image.draft(None, draft) if draft else None
    image.load()
    return drafted[1] if drafted else None


def _interpolable(image: Image.Image) -> Image.Image:
    """The same picture in one of four modes in which samples may be averaged, eight bits each."""
    mode = image.mode
    if mode.startswith(("I", "F")):
        return _eight_bit(image)
    if "transparency" in image.info or mode in {"LA", "PA", "RGBa"}:
        return image.convert("RGBA")
    if mode == "CMYK" and image.format in {"JPEG", "MPO"} and "adobe" not in image.info:
        return ImageChops.invert(image)  # Pillow takes all of them for inverted, as Adobe's are
    if mode in INTERPOLABLE:
        return image
    return image.convert("L" if mode == "1" else "RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey brought down to eight bits; Pillow's own conversion cuts off all above 255."""
    if image.mode not in {"I;16", "I", "F"}:
        image = image.convert("I")
    low_high = image.getextrema()
    scale = EIGHT_BIT / white_of(image.mode, float(low_high[1]))  # type: ignore[arg-type] # one band
    return image.point(lambda sample: sample * scale).convert("L")


def _finished(
    image: Image.Image,
    size: Size,
    box: Box | None,
    profile: object,
    orientation: int,
    background: tuple[int, int, int],
) -> Image.Image:
    """One output's pixels: fitted, in sRGB, without transparency, upright and without metadata."""
    if size != image.size:
        image = _fitted(image, size, box)
    if isinstance(profile, bytes):
        image = _in_srgb(image, profile)
    if image.mode == "RGBA":
        opaque = Image.new("RGB", image.size, background)
        opaque.paste(image, mask=image)
        image = opaque
    elif image.mode == "CMYK":
        image = image.convert("RGB")
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    return image


def _fitted(image: Image.Image, size: Size, box: Box | None) -> Image.Image:
    if image.mode != "RGBA":
        return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=REDUCING_GAP)
    # Premultiplied, so that the colour of transparent pixels does not shine through; Pillow would
    # do so by itself, but then without the reducing gap.
    return _fitted(image.convert("RGBa"), size, box).convert("RGBA")


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    return image if converted is None else converted


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the embedded profile to sRGB; None if it is sRGB, broken, or not one for such pixels."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if mode != "CMYK" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        result = "RGBA" if mode == "RGBA" else "RGB"
        return ImageCms.buildTransform(source, SRGB, mode, result)
    except (ImageCms.PyCMSError, *DAMAGED):
        return None


def _write(image: Image.Image, output: OutputSpec, target: int) -> None:
    image.info = {}  # Pillow would carry a comment over
    with open(target, "wb", buffering=0, closefd=False) as file:
        try:
            image.save(file, ENCODERS[output.content_type], quality=output.quality)
        except OSError as error:
            if error.errno in {None, errno.EFBIG}:
                raise
            raise OutputUnwritableError(str(error)) from error
