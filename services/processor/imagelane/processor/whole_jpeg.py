"""Finds a JPEG whose pixels end before their time, although it is closed as a whole one would be.

libjpeg makes up the missing part: half a picture over a grey field, and no error. Without an end marker it
waits for more bytes instead. So the marker is held back until the decoder has had all else, and then the
last pixel must be there.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from PIL.ImageFile import ImageFile

from imagelane.processor.core.scans import is_one_scan

if TYPE_CHECKING:
    from PIL._imaging import ImagingCore

END_OF_IMAGE: Final = b"\xff\xd9"
PADDING: Final = bytes(8)
"""libjpeg reads ahead so far, and ignores it behind the last pixel."""

UNTOUCHED: Final = {1: 77, 3: (1, 254, 3), 4: (1, 254, 3, 99)}
"""By the number of bands. A whole image may have this very colour there: then it has it to the end."""


class HeldBack(BytesIO):
    """A JPEG's bytes; from `watch` on its end comes in two steps."""

    _pixels: ImagingCore | None = None  # not the image, which holds this file
    _end = 0
    _padded = False
    _came_late = False

    def watch(self, image: ImageFile) -> None:
        """To be called before the image of this file is loaded.

        What is no JPEG of one sequential scan is not watched, nor a file that goes on behind its image.
        """
        if image.format not in {"JPEG", "MPO"} or not self._ends_with_its_only_scan():
            return
        image.load_prepare()
        self._pixels = image.im
        self._pixels.putpixel(_last(image.im), UNTOUCHED[image.im.bands])
        self._end = len(self.getvalue()) - len(END_OF_IMAGE)

    def _ends_with_its_only_scan(self) -> bool:
        jpeg = self.getvalue()
        return jpeg.endswith(END_OF_IMAGE) and is_one_scan(jpeg)

    def is_cut_off(self) -> bool:
        """Whether the last pixel of the loaded image was made up."""
        pixels = self._pixels
        return pixels is not None and self._came_late and not _is_untouched(pixels)

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file, but for the end."""
        if self._pixels is None:
            return super().read(size)
        left = self._end - self.tell()
        if left > 0:
            return super().read(left if size is None or size < 0 else min(size, left))
        if not self._padded:
            self._padded = True
            return PADDING
        self._came_late = self._came_late or _is_untouched(self._pixels)
        return super().read(size)


def _is_untouched(pixels: ImagingCore) -> bool:
    return bool(pixels.getpixel(_last(pixels)) == UNTOUCHED[pixels.bands])


def _last(pixels: ImagingCore) -> tuple[int, int]:
    width, height = pixels.size
    return width - 1, height - 1
