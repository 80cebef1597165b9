"""What is to be done with an image before a pixel of it is decoded: which size, which shortcut.

The stored pixels are resized first and turned upright last, when there are few of them left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from imagelane.core.recipes import OutputSpec

Size = tuple[int, int]

DRAFT_MARGIN: Final = 1.5
"""A JPEG may be decoded at a half, quarter or eighth of its size if this much of the result remains:
at 1.5 the result is as good as from full size (SSIM .9966), and a 12-megapixel photo costs half."""

SIDEWAYS: Final = frozenset({5, 6, 7, 8})
"""EXIF orientations whose upright picture has width and height exchanged."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`targets` are the outputs' sizes as the pixels are stored, before the image is turned upright.

    `draft` is the least size that a scaled decode must keep, or None for a full decode.
    """

    targets: tuple[Size, ...]
    draft: Size | None


def plan(size: Size, orientation: int, outputs: Sequence[OutputSpec]) -> Plan:
    """How to make all outputs from one decode of an image of this size."""
    targets = tuple(_target(size, orientation, output) for output in outputs)
    largest = max(targets)
    draft = (ceil(largest[0] * DRAFT_MARGIN), ceil(largest[1] * DRAFT_MARGIN))
    return Plan(targets, None if largest == size else draft)


def _target(size: Size, orientation: int, output: OutputSpec) -> Size:
    if output.box is None:
        return size
    if orientation in SIDEWAYS:
        return fitted(size, output.box[::-1])
    return fitted(size, output.box)


def fitted(size: Size, box: Size) -> Size:
    """The largest size of the same shape that fits into the box; never enlarged, at least one pixel."""
    scale = min(1.0, box[0] / size[0], box[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
