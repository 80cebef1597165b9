"""Tables on standard output."""

from __future__ import annotations

from typing import Final

from rich.console import Console

WIDE: Final = 250


def wide_console() -> Console:
    """Standard output; wide where it is no terminal, so that no column is cut in a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDE)
