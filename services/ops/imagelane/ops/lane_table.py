"""Lanes as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from rich.table import Table
from rich.text import Text

from imagelane.ops.lanes import LaneView

COLUMNS: Final = ("customer", "state", "call", "images", "since", "usual", "tries", "")
UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def lane_table(lanes: Sequence[LaneView], now: datetime) -> Table:
    """One line a lane; the last column says what a person should know of it."""
    table = Table(box=None, pad_edge=False)
    for name in COLUMNS:
        right = name in ("call", "images", "since", "usual", "tries")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "")
    for lane in lanes:
        usual = "" if lane.usual_seconds is None else spoken(timedelta(seconds=lane.usual_seconds))
        cells = (
            lane.customer_id,
            lane.state,
            str(lane.seq),
            str(lane.images or ""),
            spoken(now - lane.since),
            usual,
            str(lane.attempts or ""),
            _remark(lane, now),
        )
        table.add_row(*map(Text, cells))
    return table


def spoken(duration: timedelta) -> str:
    """`0.9 s`, `12.5 s`, `3.0 min`, `5.2 h`, `4.0 d`; never below zero."""
    seconds = max(duration.total_seconds(), 0.0)
    name, length = next((one for one in UNITS if seconds >= one[1]), UNITS[-1])
    return f"{seconds / length:.1f} {name}"


def _remark(lane: LaneView, now: datetime) -> str:
    if lane.hold_reason is not None:
        return lane.hold_reason
    if lane.overdue_since is not None:
        return f"takes far longer than usual, since {spoken(now - lane.overdue_since)}"
    return ""
