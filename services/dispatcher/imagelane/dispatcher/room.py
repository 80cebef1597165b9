"""How much may be in memory at one time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """So many units, taken in the order of asking. More than there are count as all of them."""

    def __init__(self, units: int) -> None:
        self._units = self._free = units
        self._next_in_line = asyncio.Lock()
        self._given_back = asyncio.Event()

    @asynccontextmanager
    async def taken(self, units: int) -> AsyncIterator[None]:
        """Waits until the units are free, and has them for the block."""
        units = min(units, self._units)
        async with self._next_in_line:
            while self._free < units:
                self._given_back.clear()
                await self._given_back.wait()
            self._free -= units
        try:
            yield
        finally:
            self._free += units
            self._given_back.set()
