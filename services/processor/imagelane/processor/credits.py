"""Whose image it is: the only metadata that may go on into results, and only where a setting says so."""

from __future__ import annotations

from typing import Final

from PIL import Image

from imagelane.processor.colours import DAMAGED

ARTIST: Final = 0x013B
COPYRIGHT: Final = 0x8298
MAX_CHARS: Final = 1_000


def credits_of(exif: Image.Exif) -> bytes:
    """A new EXIF block with nothing but the artist and the copyright notice; empty if there is neither."""
    kept = Image.Exif()
    for tag in (ARTIST, COPYRIGHT):
        try:
            text = exif.get(tag)
        except DAMAGED:
            continue  # as a broken orientation, it says nothing
        if isinstance(text, str) and (plain := _plain(text)):
            kept[tag] = plain
    return kept.tobytes() if len(kept) else b""


def _plain(text: str) -> bytes:
    """Bytes as they were found, without anything that is no text: Pillow reads each as one character."""
    shown = "".join(one for one in text[:MAX_CHARS] if one >= " " and one != "\x7f")
    return shown.strip().encode("latin-1", "replace")
