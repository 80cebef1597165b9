"""A dead letter as people and scripts see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import UNSET
from rich.table import Table
from rich.text import Text

from imagelane.contracts.dead_letters import DeadLetterDecided
from imagelane.ops.dead_letters import DeadLetter

COLUMNS: Final = ("place", "key", "put aside", "by", "decision", "reason")
NARROW: Final = ("place", "put aside")
KEY_CHARS: Final = 40
SHOWN_REASONS: Final = 20
SHOWN_CHARS: Final = 4_000

Row = tuple[DeadLetter, DeadLetterDecided | None]
Counts = Counter[tuple[str, str]]
"""By topic and reason."""


def summary(letter: DeadLetter, decision: DeadLetterDecided | None) -> dict[str, Any]:
    """What is told of a letter, but its headers and value."""
    return {
        "place": str(letter.place),
        "key": text_of(letter.key),
        "put_aside_at": letter.put_aside_at,
        "service": letter.service,
        "reason": letter.reason,
        "size_bytes": len(letter.value or b""),
        "unreadable_today": letter.trouble() or None,
        "decision": None if decision is None else decision.decision,
        "decided_by": None if decision is None else decision.decided_by,
        "decided_at": None if decision is None else decision.occurred_at,
        "note": None if decision is None or decision.note is UNSET else decision.note,
    }


def whole(letter: DeadLetter, decision: DeadLetterDecided | None) -> dict[str, Any]:
    """Everything, as text; bytes that are no UTF-8 are escaped."""
    return summary(letter, decision) | {
        "headers": [[name, text_of(value)] for name, value in letter.headers],
        "value": text_of(letter.value),
    }


def letter_page(letter: DeadLetter, decision: DeadLetterDecided | None) -> list[str]:
    """The same, in lines for a terminal."""
    told = summary(letter, decision)
    lines = [f"{name}: {_one_line(one)}" for name, one in told.items() if one is not None]
    lines += [f"header {clean(name)}: {clean(text_of(one) or '')}" for name, one in letter.headers]
    value = text_of(letter.value)
    if value is None:
        return [*lines, "value: none"]
    lines += ["value:", clean(value[:SHOWN_CHARS])]
    if len(value) > SHOWN_CHARS:
        lines.append(f"… {len(value) - SHOWN_CHARS:,} characters more: --raw writes all bytes")
    return lines


def letter_table(rows: Sequence[Row]) -> Table:
    """One line a letter."""
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, no_wrap=name in NARROW)
    for letter, decision in rows:
        cells = (
            str(letter.place),
            clean(text_of(letter.key) or "")[:KEY_CHARS],
            f"{letter.put_aside_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            letter.service,
            "" if decision is None else f"{decision.decision} by {decision.decided_by}",
            clean(letter.reason),
        )
        table.add_row(*map(Text, cells))
    return table


def count_lines(counts: Counts, shown: int) -> list[str]:
    """How many there are of each kind; nothing where all are shown."""
    if counts.total() <= shown:
        return []
    lines = [f"{counts.total():,} letters, of which {shown} are shown:"]
    for (topic, reason), count in counts.most_common(SHOWN_REASONS):
        lines.append(f"{count:>9,}  {topic}  {clean(reason)}")
    return lines


def text_of(value: bytes | None) -> str | None:
    """Bytes as text; what is no UTF-8 is escaped."""
    return None if value is None else value.decode("utf-8", "backslashreplace")


def clean(text: str) -> str:
    """Without what would move a terminal's cursor: letters are whatever somebody has sent."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def _one_line(told: object) -> str:
    return told.isoformat() if isinstance(told, datetime) else clean(str(told))
