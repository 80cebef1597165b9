"""What a run did, one line of JSON each: lists handed in, faults, and spans in which nothing may be sent."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

RAW_BYTES: Final = 300


class History:
    """Appends to a file, and remembers."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self.entries: list[dict[str, Any]] = []

    def write(self, kind: str, **fields: object) -> None:
        """Appends an entry with the time on both clocks (seconds)."""
        entry = {"kind": kind, "wall": time.time(), "monotonic": time.monotonic(), **fields}
        self.entries.append(entry)
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def of(self, customers: set[str]) -> list[dict[str, Any]]:
        """Everything but the lists of other customers."""
        return [
            entry
            for entry in self.entries
            if entry["kind"] != "submit" or entry["customer"] in customers
        ]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def raw_of(value: bytes | None) -> str | None:
    """By what a record's value is known in history and records: itself, or its hash where it is long."""
    if value is None:
        return None
    if len(value) > RAW_BYTES:
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return base64.b64encode(value).decode()
