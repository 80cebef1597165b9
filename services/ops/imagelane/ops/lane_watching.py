"""Lanes as they change: a table that stands still on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.live import Live

from imagelane.ops.client.gateway import PassingError
from imagelane.ops.lane_table import lane_table
from imagelane.ops.lanes import LaneView

EVERY_SECONDS: Final = 2.0
Look = Callable[[], Sequence[LaneView]]


def watch(look: Look, *, as_json: bool, with_idle: bool) -> None:
    """Looks again every two seconds until Ctrl-C. A gateway that is away for a while is waited for."""
    console = Console(highlight=False)
    if as_json or not console.is_terminal:
        _lines(look, as_json=as_json)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_table(look, with_idle=with_idle), refresh=True)
            time.sleep(EVERY_SECONDS)


def line_of(lane: LaneView) -> str:
    """A lane in one line."""
    ready = "" if lane.ready is None else f", {lane.ready:,} images ready"
    reason = lane.hold_reason or lane.stands_still
    held = "" if reason is None else f": {reason}"
    return f"{lane.customer_id}: {lane.state}, call {lane.seq} with {lane.images:,} images{ready}{held}"


def _table(look: Look, *, with_idle: bool) -> RenderableType:
    try:
        lanes = look()
    except PassingError as error:
        return f"{error}; trying again"
    return lane_table([one for one in lanes if with_idle or one.state != "idle"], datetime.now(UTC))


def _lines(look: Look, *, as_json: bool) -> None:
    told: dict[str, LaneView] = {}
    while True:
        try:
            for lane in look():
                if told.get(lane.customer_id) != lane:
                    told[lane.customer_id] = lane
                    typer.echo(msgspec.json.encode(lane) if as_json else line_of(lane))
        except PassingError as error:
            typer.echo(f"{error}; trying again", err=True)
        time.sleep(EVERY_SECONDS)
