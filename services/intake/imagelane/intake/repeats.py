"""The sweep: images of which nothing was heard, requested once more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import structlog
from pyroaring import BitMap

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.events import ImagesMissing
from imagelane.contracts.image_sets import unpack
from imagelane.core.recipes import list_key
from imagelane.intake.core.frozen import FrozenHeader, read_entries, requests_of
from imagelane.intake.core.marks import Mark
from imagelane.intake.fanout import FanOut
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.metrics import REQUESTED_AGAIN
from imagelane.intake.road import Road
from imagelane.platform.store import ObjectMissingError
from imagelane.platform.work import WorkItem


class Repeats:
    """Requests images of accepted lists again, from the frozen copies."""

    def __init__(
        self, lists: FrozenLists, fan_out: FanOut, road: Road, *, chunk_images: int
    ) -> None:
        self._lists = lists
        self._fan_out = fan_out
        self._road = road
        self._chunk_images = chunk_images
        self._log = structlog.get_logger("imagelane.intake")

    async def request(self, missing: ImagesMissing, item: WorkItem) -> None:
        """Sends the images once more, when nothing of them can still be under way.

        Not for a job that was stopped or is over: it ends without them. Raises
        `UnreadableRecordError`, `UnreadableImageSetError`.
        """
        wanted = unpack(missing.images)
        if not wanted:
            raise UnreadableRecordError("images: none are named")
        places = {self._fan_out.partition_of(missing.customer_id, index) for index in wanted}
        if not await self._road.passed(places, given_up=lambda: item.revoked):
            return
        key = list_key(missing.customer_id, missing.job_id)
        if await self._lists.has(key, Mark.STOPPED) or await self._lists.has(key, Mark.FINISHED):
            return
        try:
            async with self._lists.reading(key) as (header, lines):
                await self._send(header, lines, wanted, missing.round)
        except ObjectMissingError as error:
            raise UnreadableRecordError(
                "job_id: no list of such a job of the customer's was accepted"
            ) from error
        REQUESTED_AGAIN.inc(len(wanted))
        self._log.warning(
            "images.requested_again",
            customer_id=missing.customer_id,
            job_id=missing.job_id,
            images=len(wanted),
            round=missing.round,
        )

    async def _send(
        self, header: FrozenHeader, lines: Iterator[bytes], wanted: BitMap, sweep_round: int
    ) -> None:
        first = wanted.min()
        for entries in read_entries(lines, first, self._chunk_images):
            requests = requests_of(header, first, entries, datetime.now(UTC), sweep_round)
            await self._fan_out.send([one for one in requests if one.index in wanted])
            first += len(entries)
            if first > wanted.max():
                return
