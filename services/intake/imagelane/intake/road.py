"""Waiting until nothing of a job can still be under way between intake and the processor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from imagelane.contracts.topics import DOWNLOADED, REQUESTED
from imagelane.platform.lag import LagReader, LagUnknownError

DOWNLOADER: Final = "downloader"
PROCESSOR: Final = "processor"


class Road:
    """Looks at what the downloader and the processor have committed, once for all who wait."""

    def __init__(self, lag: LagReader, *, check_seconds: float) -> None:
        self._lag = lag
        self._check_seconds = check_seconds
        self._looks: dict[str, asyncio.Task[dict[int, int]]] = {}
        self._log = structlog.get_logger("imagelane.intake")

    async def passed(self, places: set[int], *, given_up: Callable[[], bool]) -> bool:
        """Waits until whatever is requested in these partitions now has come to the road's end.

        A request that was delivered before is behind the downloader's commit, and so on `downloaded`,
        before the end of that topic is noted in its turn; hence one after the other.
        False if the waiting was given up.
        """
        for service, topic in ((DOWNLOADER, REQUESTED), (PROCESSOR, DOWNLOADED)):
            if not await self._passed(service, topic, places, given_up):
                return False
        return True

    async def _passed(
        self, service: str, topic: str, places: set[int], given_up: Callable[[], bool]
    ) -> bool:
        ends: dict[int, int] = {}
        while not given_up():
            try:
                ends = ends or await self._lag.end_offsets(topic)
                committed = await self._committed(service, topic)
            except LagUnknownError as error:
                self._log.warning("lag.unknown", error=str(error))
            else:
                if all(committed.get(place, 0) >= ends[place] for place in places):
                    return True
            await asyncio.sleep(self._check_seconds)
        return False

    async def _committed(self, service: str, topic: str) -> dict[int, int]:
        """An answer to a question that may be older than this one: it then says less, never more."""
        look = self._looks.get(topic)
        if look is None:
            look = asyncio.ensure_future(self._lag.committed(service, topic))
            self._looks[topic] = look
            look.add_done_callback(lambda _look: self._looks.pop(topic))
        return await asyncio.shield(look)
