"""Secrets come as files, with or without a line's end."""

from __future__ import annotations

from pathlib import Path


def read_secret(file: Path) -> str:
    """What the file holds now, without the white space around it. Raises `OSError` and `UnicodeError`."""
    return file.read_text(encoding="utf-8").strip()
