"""How long a customer's lane keeps images waiting, from the stand-in's journal and `processed`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from imagelane.standin.journal import Entry

FIRST_CALL_IMAGES: Final = 100


@dataclass(frozen=True, slots=True)
class LaneTimes:
    """Of one customer, in seconds. `idle` only counts gaps in which a processed image was waiting."""

    first_call: float | None
    idle: tuple[float, ...]
    calls: int


@dataclass(frozen=True, slots=True)
class _Call:
    began_at: float
    ended_at: float
    images: frozenset[int]


def lane_times(
    entries: Iterable[Entry], customer_id: str, processed_at: Mapping[int, float]
) -> LaneTimes:
    """What the journal says of a customer with one job, whose images were processed at these times."""
    calls = _calls(entries, customer_id)
    idle = [
        after.began_at - before.ended_at
        for before, after in pairwise(calls)
        if any(processed_at[index] <= before.ended_at for index in after.images)
    ]
    ready = sorted(processed_at.values())
    first = (
        calls[0].began_at - ready[FIRST_CALL_IMAGES - 1] if len(ready) > FIRST_CALL_IMAGES else None
    )
    return LaneTimes(first, tuple(idle), len(calls))


def _calls(entries: Iterable[Entry], customer_id: str) -> list[_Call]:
    accepted: dict[str, Entry] = {}
    calls = []
    for entry in entries:
        if entry["kind"] == "accepted" and entry["customer"] == customer_id:
            accepted[entry["batch"]] = entry
        elif entry["kind"] == "finished" and entry["batch"] in accepted:
            began = accepted[entry["batch"]]
            calls.append(_Call(began["wall"], entry["wall"], _indexes(began)))
    return calls


def _indexes(accepted: dict[str, Any]) -> frozenset[int]:
    """A public URL ends in `<job>/<index>/<file>`."""
    return frozenset(int(url.rsplit("/", 2)[1]) for url in accepted["urls"])
