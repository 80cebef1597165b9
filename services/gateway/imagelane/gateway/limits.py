"""How much a customer may hand in: so often, and so much that is not done yet."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from imagelane.gateway.core.rates import Rates
from imagelane.gateway.problems import Kind, Problem
from imagelane.gateway.settings import GatewaySettings
from imagelane.gateway.status import UNREADABLE, Status

PENDING_RETRY_SECONDS: Final = 30


class Limits:
    """Raises `Problem` 429 with the time after which it is worth another try."""

    def __init__(self, settings: GatewaySettings, status: Status) -> None:
        self._settings = settings
        self._status = status
        self._rates = Rates(settings.jobs_per_minute)

    async def check(self, customer_id: str) -> None:
        """To be asked once per submission, before its list is read.

        What is not done yet is known a moment late, and not at all while the tracker's database is
        away: lists are taken all the same then.
        """
        wait = self._rates.wait_seconds(customer_id, asyncio.get_running_loop().time())
        if wait > 0:
            raise Problem(
                Kind.TOO_MANY,
                f"at most {self._settings.jobs_per_minute:,} jobs in a minute",
                retry_after_seconds=math.ceil(wait),
            )
        try:
            await self._check_pending(customer_id)
        except UNREADABLE:
            return

    async def _check_pending(self, customer_id: str) -> None:
        queries = await self._status.queries()
        lane = await queries.lane(customer_id)
        if lane is None:
            return
        if lane.open_jobs >= self._settings.max_open_jobs:
            raise _pending(f"{lane.open_jobs:,} jobs are not finished yet")
        pending = await queries.pending_images(customer_id)
        if pending >= self._settings.max_pending_images:
            raise _pending(f"{pending:,} images are not done yet")


def _pending(detail: str) -> Problem:
    return Problem(Kind.TOO_MANY, detail, retry_after_seconds=PENDING_RETRY_SECONDS)
