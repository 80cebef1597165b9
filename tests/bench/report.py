"""What was measured, for people as a table and for machines as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any, Final

from tests.bench.lanes import FIRST_CALL_IMAGES, LaneTimes
from tests.bench.parts import Comparison
from tests.bench.processes import Cpu, Peak

NOT_OURS: Final = frozenset({"image server", "standin", "benchmark"})
"""Parts that stand for the world outside, and the one that measures."""
TWENTIETHS: Final = 20


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that one run has measured. `memory` is by number of images.

    `load_before` is the machine's before anything was started: what others did on it at that time.
    """

    load_before: float
    idle_ms_per_second: dict[str, float]
    memory: dict[int, dict[str, Peak]]
    tiny: Comparison
    photos: Comparison
    lanes: dict[str, list[LaneTimes]]


def as_json(results: Results) -> dict[str, Any]:
    """Everything but the times of single images."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "load_before": results.load_before,
        },
        "photos": _compared(results.photos),
        "tiny": _compared(results.tiny),
        "idle_ms_per_second": results.idle_ms_per_second,
        "memory_mb": {
            images: {name: {"rss": one.rss_mb, "pss": one.pss_mb} for name, one in peaks.items()}
            for images, peaks in results.memory.items()
        },
        "lanes": {way: _lanes(times) for way, times in results.lanes.items()},
    }


def as_text(results: Results) -> str:
    """The same for a terminal, in Markdown's tables."""
    return "\n\n".join(
        [
            _machine(results),
            _speed("Photos of 1-2 MB", results.photos),
            _speed("Tiny images", results.tiny),
            _costs(results),
            _memories(results.memory),
            *(_lane_lines(way, _lanes(times)) for way, times in results.lanes.items()),
        ]
    )


def ours(cpu_ms: dict[str, Cpu]) -> float:
    """What the pipeline costs, the broker included, without the world outside."""
    return sum(cost.total for name, cost in cpu_ms.items() if name not in NOT_OURS)


def _machine(results: Results) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores, Python"
        f" {platform.python_version()}, load before the run {results.load_before:.1f}"
    )


def _compared(one: Comparison) -> dict[str, Any]:
    cpu_ms = one.cpu_ms_per_image()
    bare_ms = median(bare.cpu_ms_per_image for bare in one.bare)
    return {
        "images": one.road[0].images,
        "rounds": len(one.road),
        "ratio": one.ratio,
        "bare_per_second": median(bare.per_second for bare in one.bare),
        "road_per_second": median(road.per_second for road in one.road),
        "road_per_second_to_finished": median(
            road.images / road.seconds_to_finished for road in one.road
        ),
        "bare_cpu_ms": bare_ms,
        "road_cpu_ms": ours(cpu_ms),
        "beside_the_bare_work_ms": ours(cpu_ms) - bare_ms,
        "cpu_ms_by_part": {name: cost.total for name, cost in cpu_ms.items()},
        "system_cpu_ms_by_part": {name: cost.system for name, cost in cpu_ms.items()},
    }


def _speed(title: str, one: Comparison) -> str:
    told = _compared(one)
    return f"""\
{title}: {told["images"]} images, {told["rounds"]} rounds of each in turn; medians

| | images/s | CPU ms/image |
|---|---:|---:|
| bare loop | {told["bare_per_second"]:.1f} | {told["bare_cpu_ms"]:.2f} |
| pipeline, to the last `processed` | {told["road_per_second"]:.1f} | {told["road_cpu_ms"]:.2f} |
| pipeline, to `finished` | {told["road_per_second_to_finished"]:.1f} | |
| ratio of images/s | **{told["ratio"]:.3f}** | |
| CPU beside the bare work | | **{told["beside_the_bare_work_ms"]:.2f}** |"""


def _costs(results: Results) -> str:
    photos, tiny = results.photos.cpu_ms_per_image(), results.tiny.cpu_ms_per_image()
    nothing = Cpu(0.0, 0.0)
    rows = []
    for name in dict.fromkeys((*photos, *tiny)):
        large, small = photos.get(name, nothing), tiny.get(name, nothing)
        rows.append(
            f"| {name} | {large.total:.2f} ({large.system:.2f})"
            f" | {small.total:.3f} ({small.system:.3f})"
            f" | {results.idle_ms_per_second.get(name, 0.0):.1f} |"
        )
    titles = ["ms per photo (of it in the kernel)", "ms per tiny image", "idle: ms per second"]
    head = [f"| CPU by part | {' | '.join(titles)} |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *rows])


def _memories(memory: dict[int, dict[str, Peak]]) -> str:
    titles = " | ".join(f"{images} images: RSS / PSS MB" for images in memory)
    names = list(dict.fromkeys(name for peaks in memory.values() for name in peaks))
    rows = []
    for name in names:
        found = (peaks.get(name, Peak()) for peaks in memory.values())
        cells = " | ".join(f"{one.rss_mb:.0f} / {one.pss_mb:.0f}" for one in found)
        rows.append(f"| {name} | {cells} |")
    rule = "|---|" + "---:|" * len(memory)
    return "\n".join([f"| Memory at most | {titles} |", rule, *rows])


def _lanes(times: Sequence[LaneTimes]) -> dict[str, Any]:
    first = [one.first_call for one in times if one.first_call is not None]
    idle = [gap for one in times for gap in one.idle]
    return {
        "customers": len(times),
        "calls": sum(one.calls for one in times),
        "first_call_seconds": _spread(first),
        "idle_seconds": _spread(idle),
        "gaps": len(idle),
    }


def _spread(values: Iterable[float]) -> dict[str, float]:
    known = sorted(values)
    if not known:
        return {}
    highest = quantiles(known, n=TWENTIETHS)[-1] if len(known) > 1 else known[0]
    return {"median": median(known), "p95": min(highest, known[-1]), "max": known[-1]}


def _lane_lines(way: str, told: dict[str, Any]) -> str:
    def cells(spread: dict[str, float]) -> str:
        return " | ".join(f"{spread[name]:.3f}" for name in spread) or "- | - | -"

    return f"""\
Lanes, {way}: {told["customers"]} customers, {told["calls"]} calls, {told["gaps"]} gaps with work waiting

| seconds | median | p95 | max |
|---|---:|---:|---:|
| from image {FIRST_CALL_IMAGES} to the first call | {cells(told["first_call_seconds"])} |
| idle between two calls | {cells(told["idle_seconds"])} |"""
