"""What processes cost: CPU time and memory from `/proc`, by the part that they belong to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS: Final = 0.5
PROC: Final = Path("/proc")
CHILDREN: Final = "'s children"


class Cpu(NamedTuple):
    """CPU time, in whatever unit it is asked for."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.user + self.system


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    own_ticks: Cpu
    reaped_ticks: Cpu


@dataclass(slots=True)
class Peak:
    """The most memory that a part has held at one of the looks, in MB."""

    rss_mb: float = 0.0
    pss_mb: float = 0.0


@dataclass(slots=True)
class Memory:
    """The peaks by part, filled while the run goes on."""

    peaks: dict[str, Peak] = field(default_factory=dict)


def cpu_seconds(parts: Mapping[str, int]) -> dict[str, Cpu]:
    """CPU time so far of each part's process, and of all its children under a name of their own.

    Children count on after their end, once their parent has waited for them.
    """
    stats = _stats()
    seconds: dict[str, Cpu] = {}
    for name, pid in parts.items():
        children = [stats[child] for child in _descendants(pid, stats)]
        below = [ticks for child in children for ticks in (child.own_ticks, child.reaped_ticks)]
        seconds[name] = _seconds([stats[pid].own_ticks])
        if any(reaped := _seconds([stats[pid].reaped_ticks, *below])):
            seconds[name + CHILDREN] = reaped
    return seconds


def _seconds(ticks: Sequence[Cpu]) -> Cpu:
    user, system = (sum(kind) / TICKS_PER_SECOND for kind in zip(*ticks, strict=True))
    return Cpu(user, system)


def spent_ms(before: Mapping[str, Cpu], after: Mapping[str, Cpu]) -> dict[str, Cpu]:
    """CPU milliseconds between two readings, by part."""
    nothing = Cpu(0.0, 0.0)
    return {name: _spent_ms(before.get(name, nothing), now) for name, now in after.items()}


def _spent_ms(before: Cpu, after: Cpu) -> Cpu:
    return Cpu((after.user - before.user) * 1_000, (after.system - before.system) * 1_000)


@asynccontextmanager
async def watched_memory(parts: Mapping[str, int]) -> AsyncIterator[Memory]:
    """Looks at every part's memory twice a second, inside the block."""
    memory = Memory()

    async def look() -> None:
        while True:
            _look(parts, memory)
            await asyncio.sleep(SAMPLE_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield memory
        _look(parts, memory)
    finally:
        looking.cancel()


def _look(parts: Mapping[str, int], memory: Memory) -> None:
    stats = _stats()
    for name, pid in parts.items():
        _note(memory, name, [pid])
        if children := _descendants(pid, stats):
            _note(memory, name + CHILDREN, children)


def _note(memory: Memory, name: str, pids: list[int]) -> None:
    sizes = [_memory_kb(pid) for pid in pids]
    peak = memory.peaks.setdefault(name, Peak())
    peak.rss_mb = max(peak.rss_mb, sum(rss for rss, _ in sizes) / 1_024)
    peak.pss_mb = max(peak.pss_mb, sum(pss for _, pss in sizes) / 1_024)


def _memory_kb(pid: int) -> tuple[int, int]:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0  # it has just ended
    values = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return int(values.get("Rss", 0)), int(values.get("Pss", 0))


def _stats() -> dict[int, _Stat]:
    found = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        fields = text.rpartition(")")[2].split()
        user, system, reaped_user, reaped_system = map(int, fields[11:15])
        found[int(entry.name)] = _Stat(
            int(fields[1]), Cpu(user, system), Cpu(reaped_user, reaped_system)
        )
    return found


def _descendants(pid: int, stats: Mapping[int, _Stat]) -> list[int]:
    children = [child for child, stat in stats.items() if stat.parent == pid]
    return children + [below for child in children for below in _descendants(child, stats)]
