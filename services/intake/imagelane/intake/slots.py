"""So many at a time, and so many under one key: lists of a customer, records of a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Own:
    slots: asyncio.Semaphore
    users: int = 0


class KeyedSlots:
    """At most `total` slots are held at a time, and at most `per_key` of them under one key.

    First come, first served, under one key and among keys below their share; so whoever has a
    thousand lists waits for its own, and not everybody else with it.
    """

    def __init__(self, total: int, *, per_key: int) -> None:
        self._total = asyncio.Semaphore(total)
        self._per_key = per_key
        self._owns: dict[str, _Own] = {}

    @asynccontextmanager
    async def slot(self, key: str) -> AsyncIterator[None]:
        """Waits for a slot and holds it. Keys that hold and want none take no memory."""
        own = self._owns.get(key)
        if own is None:
            own = self._owns[key] = _Own(asyncio.Semaphore(self._per_key))
        own.users += 1
        try:
            async with own.slots, self._total:
                yield
        finally:
            own.users -= 1
            if own.users == 0:
                del self._owns[key]
