"""How long the dispatcher may take to end once it was asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from imagelane.platform.bounded_end import End

SENDING_SECONDS: Final = 12.0
"""For the answer to a request for a call, and for writing it down: without it the next process, or at level D a
person, has to find out. With what comes after it, well within the 45 seconds that Kubernetes gives."""
REST_SECONDS: Final = 4.0
"""For leaving the group, telling the batcher, the last spans. Whoever waits in vain for one of them loses nothing."""
LOOK_SECONDS: Final = 0.1


async def end_in_time(stop: asyncio.Event, end: End, is_sending: Callable[[], bool]) -> None:
    """From `stop` on the process has four seconds, begun anew as long as a request is under way, for twelve at most.

    A request is under way until its answer is in the log. Looks until it is cancelled.
    """
    await stop.wait()
    time = asyncio.get_running_loop().time
    sent_by = time() + SENDING_SECONDS
    end.within(REST_SECONDS)
    while time() < sent_by:
        await asyncio.sleep(LOOK_SECONDS)
        if is_sending():
            end.within(REST_SECONDS)
