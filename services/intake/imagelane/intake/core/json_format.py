"""A list as JSON, read piece by piece: an array, or an object with the array as `urls`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Final, Literal

from msgspec import UNSET

from imagelane.core.failures import Code
from imagelane.intake.core.entries import ListEntry, entry_of
from imagelane.intake.core.refusals import ListRefusedError

MAX_VALUE_CHARS: Final = 65_536
MEMBER: Final = "urls"
NUMBER_CHARACTERS: Final = "+-.0123456789Ee"

Where = Literal["start", "key", "value", "after_value", "element", "after_element", "end"]

_blanks: Final = re.compile(r"[ \t\r\n]*")
# Raw control characters in a string are a defect of that entry, not of the list: not strict.
_decoder: Final = json.JSONDecoder(strict=False)


class _NeedMoreError(Exception):
    """The next token is not complete yet."""


class JsonReader:
    """JSON: an array of URLs, or of objects with `url` and perhaps `group` and `position`.

    The array may stand alone or as the member `urls` of an object, whose other members are
    skipped. Elements of any other kind are defects and keep their index. One element, and each
    skipped member, may have at most 65,536 characters: so much is kept in memory, whatever the
    length of the list. Whatever is not JSON refuses the list.
    """

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._final = False
        self._where: Where = "start"
        self._first = True  # nothing stands yet between the bracket and the closing one
        self._in_object = False
        self._key = ""
        self._found = False
        self._entries = 0
        self._steps: dict[Where, Callable[[], ListEntry | None]] = {
            "start": self._start,
            "key": self._key_or_end,
            "value": self._value,
            "after_value": self._after_value,
            "element": self._element_or_end,
            "after_element": self._after_element,
            "end": self._end,
        }

    def feed(self, text: str) -> Iterator[ListEntry]:
        """The entries that end in this piece."""
        self._text = self._text[self._at :] + text
        self._at = 0
        while True:
            started_at = self._at
            try:
                entry = self._steps[self._where]()
            except _NeedMoreError:
                self._at = started_at
                return
            if entry is not None:
                yield entry

    def finish(self) -> Iterator[ListEntry]:
        """Nothing, if the document is complete."""
        self._final = True
        yield from self.feed("")
        if self._where != "end":
            raise _unreadable("it ends too early")

    def _start(self) -> None:
        self._where = "element" if self._one_of("[{") == "[" else "key"
        self._in_object = self._where == "key"

    def _key_or_end(self) -> None:
        if self._peek() == "}" and self._first:
            self._close_object()
        key = self._next_value("a member's name")
        if not isinstance(key, str):
            raise _unreadable("a member's name is not a string")
        self._one_of(":")
        self._key, self._where = key, "value"

    def _value(self) -> None:
        if self._key == MEMBER:
            self._one_of("[")
            self._where, self._first, self._found = "element", True, True
        else:
            self._next_value(f"the member {self._key[:50]!r}")
            self._where = "after_value"

    def _after_value(self) -> None:
        self._first = False
        if self._one_of(",}") == ",":
            self._where = "key"
        else:
            self._close_object()

    def _element_or_end(self) -> ListEntry | None:
        if self._peek() == "]" and self._first:
            self._one_of("]")
            self._close_array()
            return None
        value = self._next_value(f"entry {self._entries}")
        self._entries += 1
        self._where = "after_element"
        return _entry(value)

    def _after_element(self) -> None:
        self._first = False
        if self._one_of(",]") == ",":
            self._where = "element"
        else:
            self._close_array()

    def _close_array(self) -> None:
        self._where = "after_value" if self._in_object else "end"

    def _close_object(self) -> None:
        if not self._found:
            raise _unreadable(f"the object has no `{MEMBER}`")
        self._where = "end"

    def _end(self) -> None:
        raise _unreadable(f"{self._peek()!r} after its end")

    def _peek(self) -> str:
        blanks = _blanks.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at
        if self._at == len(self._text):
            raise _NeedMoreError
        return self._text[self._at]

    def _one_of(self, expected: str) -> str:
        if (found := self._peek()) not in expected:
            raise _unreadable(f"{found!r} where one of {expected!r} should be")
        self._at += 1
        return found

    def _next_value(self, what: str) -> object:
        self._peek()
        started_at = self._at
        value: object = None
        try:
            value, self._at = _decoder.raw_decode(self._text, started_at)
        except RecursionError as error:
            raise _unreadable(f"{what} is nested too deeply") from error
        except ValueError:
            self._at = len(self._text)
            complete = False
        else:
            complete = isinstance(value, str | list | dict) or not self._may_go_on()
        if self._at - started_at > MAX_VALUE_CHARS or (self._final and not complete):
            raise _unreadable(
                f"{what} is not JSON, or has more than {MAX_VALUE_CHARS:,} characters"
            )
        if not complete:
            raise _NeedMoreError
        return value

    def _may_go_on(self) -> bool:
        """A number at the end of the piece, or before what is half of a fraction or an exponent there."""
        return self._at == len(self._text) or self._text[self._at] in NUMBER_CHARACTERS


def _entry(value: object) -> ListEntry:
    if not isinstance(value, dict):
        return entry_of(value)
    members = {
        name: UNSET if value.get(name) is None else value[name] for name in ("group", "position")
    }
    return entry_of(value.get("url"), **members)


def _unreadable(detail: str) -> ListRefusedError:
    return ListRefusedError(Code.LIST_UNREADABLE, f"as JSON: {detail}")
