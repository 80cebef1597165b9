"""Pixels: one original in, the outputs of its recipe out. The only module that knows Pillow.

Runs inside the expendable decode children, and in one process where a benchmark wants the bare work.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Sequence
from math import ceil
from typing import Final

# The plugins by name: found here before the child gives up opening files, and no other one after.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from imagelane.core.failures import Code
from imagelane.core.image_formats import HEAD_BYTES, format_of
from imagelane.core.recipes import OutputSpec
from imagelane.processor.colours import DAMAGED, in_srgb, interpolable, opaque
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.core.plan import Size, plan
from imagelane.processor.core.soundness import fault_in
from imagelane.processor.credits import credits_of
from imagelane.processor.whole_jpeg import HeldBack

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

Box = tuple[float, float, float, float]

ORIENTATION_TAG: Final = 0x0112
REDUCING_GAP: Final = 1.5
JPEG_MAX_SIDE: Final = 65_500  # libjpeg writes no longer one


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
        return _process(data, outputs, targets, limits)


def _process(
    data: bytes, outputs: Sequence[OutputSpec], targets: Sequence[int], limits: ImageLimits
) -> list[Size]:
    image, file = _opened(data, limits)
    exif = _exif(image)
    orientation = 1 if image.format == "TIFF" else _orientation(exif)  # Pillow turns those itself
    planned = plan(image.size, orientation, outputs)
    if any(max(size) > JPEG_MAX_SIDE for size in planned.targets):
        raise ImageRefusedError(Code.TOO_LARGE_DIMENSION)
    profile = image.info.get("icc_profile")
    try:
        box = _loaded(image, file, planned.draft)
        if file.is_cut_off():
            raise ImageRefusedError(Code.CORRUPT)
        pixels = interpolable(image)
        results = [
            _finished(pixels, size, box, profile, orientation, limits.background)
            for size in planned.targets
        ]
        kept = credits_of(exif) if limits.keep_copyright else b""
    except DAMAGED as error:
        raise ImageRefusedError(Code.CORRUPT) from error
    for result, output, target in zip(results, outputs, targets, strict=True):
        _write(result, output, target, kept)
    return [result.size for result in results]


def _read_all(source: int) -> bytes:
    with open(source, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        return file.readall()


def _opened(data: bytes, limits: ImageLimits) -> tuple[ImageFile, HeldBack]:
    """The image with its header read and found within the limits; no pixel is decoded yet."""
    image_format = format_of(data[:HEAD_BYTES])
    if image_format is None or image_format not in limits.formats:
        raise ImageRefusedError(Code.NOT_AN_IMAGE)
    if code := fault_in(data, image_format, limits):
        raise ImageRefusedError(code)
    # Pillow raises at twice that number and only warns before; some plugins raise before they allocate.
    Image.MAX_IMAGE_PIXELS = ceil(limits.max_pixels / 2)
    file = HeldBack(data)
    try:
        image = Image.open(file, formats=[image_format])
    except Image.DecompressionBombError:
        raise ImageRefusedError(Code.TOO_MANY_PIXELS) from None
    except DAMAGED as error:
        raise ImageRefusedError(Code.CORRUPT) from error
    if max(image.size) > limits.max_side:
        raise ImageRefusedError(Code.TOO_LARGE_DIMENSION)
    if image.width * image.height > limits.max_pixels:
        raise ImageRefusedError(Code.TOO_MANY_PIXELS)
    return image, file


def _exif(image: Image.Image) -> Image.Exif:
    """The image's EXIF; an empty one where it makes no sense."""
    try:
        return image.getexif()
    except DAMAGED:
        return Image.Exif()


def _orientation(exif: Image.Exif) -> int:
    """The EXIF orientation, 1 to 8; 1 where it says nothing that makes sense."""
    try:
        orientation = exif.get(ORIENTATION_TAG, 1)
    except DAMAGED:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _loaded(image: ImageFile, file: HeldBack, draft: Size | None) -> Box | None:
    """Decodes the first frame, a JPEG at a fraction of its size if that is enough.

    Returns the part of the decoded pixels that is the image (a scaled decode rounds up), or None for all.
    """
    drafted = image.draft(None, draft) if draft else None
    file.watch(image)
    image.load()
    return drafted[1] if drafted else None


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
        image = in_srgb(image, profile)
    image = opaque(image, background)
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    return image


def _fitted(image: Image.Image, size: Size, box: Box | None) -> Image.Image:
    if image.mode != "RGBA":
        return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=REDUCING_GAP)
    # Premultiplied, so that the colour of transparent pixels does not shine through; Pillow would
    # do so by itself, but then without the reducing gap.
    return _fitted(image.convert("RGBa"), size, box).convert("RGBA")


def _write(image: Image.Image, output: OutputSpec, target: int, exif: bytes) -> None:
    image.info = {}  # Pillow would carry a comment over
    with open(target, "wb", buffering=0, closefd=False) as file:
        try:
            image.save(file, ENCODERS[output.content_type], quality=output.quality, exif=exif)
        except OSError as error:
            if error.errno in {None, errno.EFBIG}:
                raise
            raise OutputUnwritableError(str(error)) from error
