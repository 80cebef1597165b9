"""The table of hostile rows that `make hostile` prints: every test puts its row into it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

KEY: Final = "hostile_row"
SHOWN_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One hostile input and what became of it."""

    id: str
    input: str
    outcome: str
    code: str
    milliseconds: float


def to_property(row: Row) -> dict[str, object]:
    """As a test report carries it between processes: plain types only."""
    return asdict(row) | {"code": str(row.code), "outcome": str(row.outcome)}


def lines(rows: list[dict[str, object]]) -> list[str]:
    """The table as text, in the order of the ids."""
    told = [
        (
            str(row["id"]),
            _shown(str(row["input"])),
            str(row["outcome"]),
            str(row["code"]),
            f"{row['milliseconds']:.0f}",
        )
        for row in sorted(rows, key=lambda row: str(row["id"]))
    ]
    heads = ("row", "input", "outcome", "code", "ms")
    widths = [max(len(line[at]) for line in [heads, *told]) for at in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *told]
    ]


def _shown(text: str) -> str:
    plain = text.encode("ascii", "backslashreplace").decode()
    plain = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in plain)
    return plain if len(plain) <= SHOWN_CHARS else f"{plain[: SHOWN_CHARS - 1]}…"
