"""Gzip, unpacked piece by piece, so that a small bomb never becomes a large piece of memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from imagelane.core.failures import Code
from imagelane.intake.core.refusals import ListRefusedError

GZIP_MAGIC: Final = b"\x1f\x8b"
PIECE_BYTES: Final = 65_536
MAX_MEMBERS: Final = 10_000
_GZIP_ONLY: Final = 31  # zlib's window size for gzip and nothing else


class Gunzip:
    """Packed bytes in, unpacked pieces of at most 64 KiB out.

    Several members in a row are one list, zeros between and after them are padding. Raises
    `ListRefusedError` for damaged data, and for more than 10,000 members: each costs the same
    work however little it holds.
    """

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_ONLY)
        self._members = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes unpack to. Read it to its end before the next call."""
        while True:
            if self._member.eof:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._next_member()
            piece = self._unpack(data)
            yield piece
            if self._member.eof:
                data = self._member.unused_data
            else:
                data = self._member.unconsumed_tail
                if not data and len(piece) < PIECE_BYTES:
                    return

    def finish(self) -> None:
        """Raises `ListRefusedError` if the data is cut off."""
        if not self._member.eof:
            raise ListRefusedError(Code.LIST_UNREADABLE, "its gzip data ends too early")

    def _unpack(self, data: bytes) -> bytes:
        try:
            return self._member.decompress(data, PIECE_BYTES)
        except zlib.error as error:
            raise ListRefusedError(Code.LIST_UNREADABLE, "its gzip data is damaged") from error

    def _next_member(self) -> None:
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise ListRefusedError(
                Code.LIST_UNREADABLE, f"its gzip data has more than {MAX_MEMBERS:,} members"
            )
        self._member = zlib.decompressobj(_GZIP_ONLY)
