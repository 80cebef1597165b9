"""Asking again what went wrong for a moment only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from imagelane.ops.client.gateway import PassingError

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 15.0
SHORTEST_PAUSE_SECONDS: Final = 0.1
Result = TypeVar("Result")
Tell = Callable[[str], None]
Sleep = Callable[[float], Awaitable[object]]


async def patiently(
    work: Callable[[], Awaitable[Result]],
    *,
    seconds: float,
    tell: Tell,
    sleep: Sleep = asyncio.sleep,
) -> Result:
    """The result of the first attempt that does not raise `PassingError`; the last one's is raised.

    Waits as long as the gateway asks for, else longer each time, and for `seconds` in all.
    """
    pause, left = FIRST_PAUSE_SECONDS, seconds
    while True:
        try:
            return await work()
        except PassingError as error:
            asked = error.after_seconds
            wait = pause if asked is None else max(asked, SHORTEST_PAUSE_SECONDS)
            if wait > left:
                raise
            tell(f"{error}; trying again in {wait:.0f} s")
            await sleep(wait)
            left -= wait
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
