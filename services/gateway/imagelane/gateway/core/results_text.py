"""A job's results as text: a line of JSON per image, or CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from imagelane.tracking.views import ImageResult

COLUMNS: Final = (
    "index",
    "status",
    "url",
    "result_url",
    "code",
    "reason",
    "group",
    "position",
)
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")

_encoder: Final = msgspec.json.Encoder()


def ndjson(images: Iterable[ImageResult]) -> bytes:
    """One line per image."""
    return _encoder.encode_lines(list(images))


def csv_header() -> bytes:
    """The first line."""
    return _csv([COLUMNS])


def csv_lines(images: Iterable[ImageResult]) -> bytes:
    """One line per result URL, and one for an image that has none."""
    return _csv(row for image in images for row in _rows(image))


def _rows(image: ImageResult) -> Iterator[tuple[object, ...]]:
    for result_url in image.results or [""]:
        yield (
            image.index,
            image.status,
            image.url,
            result_url,
            image.code,
            image.reason,
            image.group,
            image.position,
        )


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue().encode()


def harmless(cell: object) -> object:
    """The cell; behind an apostrophe if a spreadsheet would calculate it."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return "" if cell is None else cell
