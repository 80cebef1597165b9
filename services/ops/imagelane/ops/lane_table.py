"""Lanes as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from rich.table import Table
from rich.text import Text

from imagelane.ops.durations import spoken
from imagelane.ops.lanes import LaneView

COLUMNS: Final = (
    "customer",
    "state",
    "call",
    "images",
    "since",
    "usual",
    "tries",
    "ready",
    "jobs",
    "",
)


def lane_table(lanes: Sequence[LaneView], now: datetime) -> Table:
    """One line a lane; the last column says what a person should know of it."""
    table = Table(
        box=None, pad_edge=False, caption=Text(standstill_of(lanes)), caption_justify="left"
    )
    for name in COLUMNS:
        left = name in ("customer", "state", "")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "")
    for lane in lanes:
        usual = "" if lane.usual_seconds is None else spoken(timedelta(seconds=lane.usual_seconds))
        cells = (
            lane.customer_id,
            lane.state,
            str(lane.seq),
            str(lane.images or ""),
            "" if lane.since is None else spoken(now - lane.since),
            usual,
            str(lane.attempts or ""),
            str(lane.ready or ""),
            str(lane.open_jobs or ""),
            _remark(lane, now),
        )
        table.add_row(*map(Text, cells))
    return table


def standstill_of(lanes: Sequence[LaneView]) -> str:
    """Why all lanes stand still; empty if they do not."""
    reason = next((lane.stands_still for lane in lanes if lane.stands_still), None)
    return "" if reason is None else f"all lanes stand still: {reason}"


def _remark(lane: LaneView, now: datetime) -> str:
    if lane.hold_reason is not None:
        return lane.hold_reason
    if lane.overdue_since is not None:
        return f"takes far longer than usual, since {spoken(now - lane.overdue_since)}"
    return ""
