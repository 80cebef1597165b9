"""From the bytes of a fetched list to its entries, piece by piece, within bounds."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from msgspec import UNSET

from imagelane.contracts.events import ListSubmitted
from imagelane.core.failures import Code
from imagelane.intake.core.entries import ListEntry
from imagelane.intake.core.formats import CsvReader, FormatReader, TextReader
from imagelane.intake.core.gunzip import GZIP_MAGIC, Gunzip
from imagelane.intake.core.json_format import JsonReader
from imagelane.intake.core.refusals import ListRefusedError

BLOCK_BYTES: Final = 65_536
DEFAULT_COLUMN: Final = "url"
WEB_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
NO_LIST: Final = {
    b"PK\x03\x04": "it is a zip archive or a spreadsheet",
    b"%PDF": "it is a PDF",
    b"\xff\xfe": "it is UTF-16, not UTF-8",
    b"\xfe\xff": "it is UTF-16, not UTF-8",
}
LONGEST_MAGIC: Final = 4


@dataclass(frozen=True, slots=True)
class ListLimits:
    """How much a list may hold. `max_bytes` counts what gzip unpacks to."""

    max_lines: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class ListShape:
    """What is known of a list's format before its first byte; with None its first character tells."""

    format: Literal["text", "json", "csv"] | None = None
    column: str = DEFAULT_COLUMN


def shape_of(submitted: ListSubmitted, *, content_type: str | None, final_url: str) -> ListShape:
    """CSV, text or JSON: as the submission says, else as the server or the URL's ending says.

    Raises `ListRefusedError` for a web page: that is an error or a login, not a list.
    """
    column = DEFAULT_COLUMN if submitted.list_column is UNSET else submitted.list_column
    if submitted.list_format is not UNSET:
        return ListShape(submitted.list_format, column)
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind in WEB_PAGES:
        raise ListRefusedError(Code.LIST_UNREADABLE, "the server sent a web page")
    path = final_url.partition("?")[0].lower()
    if (
        submitted.list_column is not UNSET
        or kind == "text/csv"
        or path.endswith((".csv", ".csv.gz"))
    ):
        return ListShape("csv", column)
    return ListShape(column=column)


class ListReader:
    """A list's bytes in, its entries out; the same entries however the bytes are cut.

    Gzip is recognised by its first bytes. Text is UTF-8, with or without a byte order mark; bytes
    that are not become defects of their lines. Memory is bounded by two blocks of 64 KiB and one
    entry, for every format. Raises `ListRefusedError` for a list that is empty, too long, too
    large or unreadable. `count` is the number of entries so far.
    """

    def __init__(
        self, limits: ListLimits, shape: ListShape, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.count = 0
        self._limits = limits
        self._shape = shape
        # Small chunks are put together: each pass costs something, whoever drips the bytes.
        self._block_bytes = max(block_bytes, LONGEST_MAGIC)
        self._block = bytearray()
        self._begun = False
        self._gunzip: Gunzip | None = None
        self._unpacked_bytes = 0
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._format: FormatReader | None = None

    def feed(self, chunk: bytes) -> Iterator[list[ListEntry]]:
        """The entries that this chunk completes, a bounded number at a time. Read it to its end."""
        self._block += chunk
        if len(self._block) >= self._block_bytes:
            yield from self._read_block()

    def finish(self) -> Iterator[list[ListEntry]]:
        """The entries that the end completes."""
        yield from self._read_block()
        if self._gunzip is not None:
            self._gunzip.finish()
        yield self._read_text(self._decoder.decode(b"", final=True))
        if self._format is not None:
            yield self._counted(self._format.finish())
        if self.count == 0:
            raise ListRefusedError(Code.LIST_EMPTY)

    def _read_block(self) -> Iterator[list[ListEntry]]:
        block, self._block = bytes(self._block), bytearray()
        if not self._begun:
            self._begin(block)
        pieces = self._gunzip.feed(block) if self._gunzip else iter([block])
        for piece in pieces:
            self._unpacked_bytes += len(piece)
            if self._unpacked_bytes > self._limits.max_bytes:
                raise ListRefusedError(
                    Code.LIST_TOO_LARGE, f"it has more than {self._limits.max_bytes:,} bytes"
                )
            yield self._read_text(self._decoder.decode(piece))

    def _begin(self, block: bytes) -> None:
        self._begun = True
        for magic, what in NO_LIST.items():
            if block.startswith(magic):
                raise ListRefusedError(Code.LIST_UNREADABLE, what)
        if block.startswith(GZIP_MAGIC):
            self._gunzip = Gunzip()

    def _read_text(self, text: str) -> list[ListEntry]:
        if self._format is None:
            text = text.lstrip(" \t\r\n")  # blank in every format
            if not text:
                return []
            self._format = self._format_for(text[0])
        return self._counted(self._format.feed(text))

    def _format_for(self, first_character: str) -> FormatReader:
        if self._shape.format == "csv":
            return CsvReader(self._shape.column)
        if self._shape.format == "json" or (not self._shape.format and first_character in "[{"):
            return JsonReader()
        return TextReader()

    def _counted(self, entries: Iterator[ListEntry]) -> list[ListEntry]:
        room = self._limits.max_lines - self.count
        taken = list(islice(entries, room + 1))
        if len(taken) > room:
            raise ListRefusedError(
                Code.LIST_TOO_LONG, f"it has more than {self._limits.max_lines:,} lines"
            )
        self.count += len(taken)
        return taken
