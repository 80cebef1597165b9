"""Two shapes of a list, read piece by piece: text and CSV. JSON has a file of its own.

Each reader takes text in pieces of any size and gives the same entries however the text is cut.
What a reader keeps between pieces is bounded by one entry, not by the list.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final, Protocol

from msgspec import UNSET, UnsetType

from imagelane.core.failures import Code
from imagelane.intake.core.entries import ListEntry, entry_of
from imagelane.intake.core.refusals import ListRefusedError

MAX_LINE_CHARS: Final = 4_096
MAX_ROW_CHARS: Final = 65_536
MAX_POSITION_DIGITS: Final = 10
DELIMITERS: Final = ",;\t"
BLANKS: Final = " \t\r"


class FormatReader(Protocol):
    """Text in, entries out. Each iterator is to be read to its end before the next call.

    They raise `ListRefusedError` when the list as a whole cannot be read.
    """

    def feed(self, text: str) -> Iterator[ListEntry]:
        """The entries that this piece completes."""
        ...

    def finish(self) -> Iterator[ListEntry]:
        """The entries that the end of the list completes."""
        ...


class TextReader:
    """One URL a line, ended by LF or CRLF. Blanks around a URL are dropped.

    Blank lines do not count for the index: a list with and without them is the same list.
    Of a line of 4,096 characters and more only the beginning is looked at; it is a defect.
    """

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> Iterator[ListEntry]:
        """The entries of the lines that end in this piece."""
        *lines, rest = (self._rest + text).split("\n")
        self._rest = rest[:MAX_LINE_CHARS]
        return self._entries(lines)

    def finish(self) -> Iterator[ListEntry]:
        """The last line, which needs no line end."""
        return self._entries([self._rest])

    def _entries(self, lines: list[str]) -> Iterator[ListEntry]:
        for line in lines:
            if len(line) >= MAX_LINE_CHARS:
                yield entry_of(line[:MAX_LINE_CHARS])
            elif url := line.strip(BLANKS):
                yield entry_of(url)


class _Lines:
    """The lines at hand, and whether more were asked for than there are."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = iter(lines)
        self.ran_out = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            return line
        self.ran_out = True
        raise StopIteration


class CsvReader:
    """CSV with a header line; the URL stands in `column`, in any letter case.

    The columns `group` and `position` are taken where there are any. The delimiter is the first of
    comma, semicolon and tab under which the header names the column. Quoted fields may hold
    delimiters, quotes and line ends. Empty lines do not count for the index; a row without a URL
    does. A row of more than 65,536 characters (a quote that is never closed) refuses the list.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._rest = ""
        self._open_row: list[str] = []
        self._delimiter = ","
        self._places: dict[str, int] = {}

    def feed(self, text: str) -> Iterator[ListEntry]:
        """The entries of the rows that end in this piece."""
        *lines, self._rest = (self._rest + text).split("\n")
        yield from self._entries(lines)
        if sum(map(len, self._open_row)) + len(self._rest) > MAX_ROW_CHARS:
            raise _row_too_long()

    def finish(self) -> Iterator[ListEntry]:
        """The entry of the last row, which needs no line end."""
        yield from self._entries([self._rest] if self._rest else [])
        if self._open_row:
            raise ListRefusedError(Code.LIST_UNREADABLE, "a quoted field of the CSV never ends")

    def _entries(self, new_lines: list[str]) -> Iterator[ListEntry]:
        lines = self._open_row + [_csv_line(line) for line in new_lines]
        if not self._places:
            lines = self._after_header(lines)
        source = _Lines(lines)
        rows = csv.reader(source, delimiter=self._delimiter)
        read = 0
        for row in _until_too_long(rows):
            if (
                source.ran_out
            ):  # a quoted field is still open: the row is read again with more lines
                break
            if sum(map(len, lines[read : rows.line_num])) > MAX_ROW_CHARS:
                raise _row_too_long()
            read = rows.line_num
            if len(row) > 1 or any(cell.strip(BLANKS) for cell in row):
                yield self._entry(row)
        self._open_row = lines[read:]

    def _after_header(self, lines: list[str]) -> list[str]:
        for number, line in enumerate(lines):
            if line.strip():
                self._read_header(line)
                return lines[number + 1 :]
        return []

    def _read_header(self, line: str) -> None:
        for delimiter in DELIMITERS:
            names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter))]
            places = {name.casefold(): at for at, name in reversed(list(enumerate(names)))}
            if self._column.casefold() in places:
                self._delimiter, self._places = delimiter, places
                return
        raise ListRefusedError(
            Code.LIST_COLUMN_MISSING, f"`{self._column}`; the first line is {line.strip()[:200]!r}"
        )

    def _entry(self, row: list[str]) -> ListEntry:
        url, group, position = (
            self._cell(row, name) for name in (self._column, "group", "position")
        )
        return entry_of(url, group or UNSET, _position(position))

    def _cell(self, row: list[str], name: str) -> str:
        place = self._places.get(name.casefold(), len(row))
        return row[place].strip(BLANKS) if place < len(row) else ""


def _until_too_long(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:  # not strict, so only for a field beyond csv's own limit of 131,072
        raise _row_too_long() from error


def _csv_line(line: str) -> str:
    # Python's csv gives up at a carriage return inside a line. As another control character it
    # stays what it is, a defect of this row alone.
    return line.removesuffix("\r").replace("\r", "\v") + "\n"


def _position(text: str) -> int | str | UnsetType:
    if text.isascii() and text.isdecimal() and len(text) <= MAX_POSITION_DIGITS:
        return int(text)
    return text or UNSET


def _row_too_long() -> ListRefusedError:
    return ListRefusedError(
        Code.LIST_UNREADABLE, f"a row of the CSV has more than {MAX_ROW_CHARS:,} characters"
    )
