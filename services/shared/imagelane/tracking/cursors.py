"""Cursors: where the next page begins, as a word that a client gives back without a look into it."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Final

import msgspec

Long = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
MAX_CURSOR_CHARS: Final = 2_000


class CursorError(ValueError):
    """A cursor that no page of this list has given."""


def cursor_after(place: object) -> str:
    """The cursor for what comes after this place in a list's order."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str, kind: Any) -> Any:
    """The place in a cursor, of this type for msgspec. Raises `CursorError`."""
    try:
        padded = cursor[:MAX_CURSOR_CHARS] + "=" * (-len(cursor) % 4)
        decoded = urlsafe_b64decode(padded.encode("ascii"))
        if b"\\u0000" in decoded:  # PostgreSQL has no such text
            raise CursorError("the cursor is none of this list's")
        return msgspec.json.decode(decoded, type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise CursorError("the cursor is none of this list's") from error
