"""Which keys the object store takes: relative paths without surprises, the same for every kind."""

from __future__ import annotations

import re
from typing import Final

MAX_KEY_CHARS: Final = 1_024

# No part is empty, begins with a dot (so no `..`, no hidden file) or is too long for a file name.
_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}"
_KEY: Final = re.compile(rf"{_PART}(?:/{_PART})*")


def checked_key(key: str) -> str:
    """The key itself. Raises `ValueError` for one that is no plain relative path."""
    if len(key) > MAX_KEY_CHARS or not _KEY.fullmatch(key):
        raise ValueError(f"not a key of the object store: {key[:200]!r}")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself. Raises `ValueError` for one with which no key can begin."""
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix
