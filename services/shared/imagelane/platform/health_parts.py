"""Parts of a process that tell how they are, other than members of groups: its start, its stores."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from imagelane.platform.store import ObjectStore, StoreUnavailableError

LOOK_SECONDS: Final = 15.0
ABSENT_KEY: Final = "health/absent"


class StartPart:
    """What a process does before it may work; ready once all of it is done."""

    name: Final = "start"

    def __init__(self) -> None:
        self._step = "it is starting"

    def waits_for(self, what: str) -> None:
        """Says what the start waits for now."""
        self._step = f"it waits for {what}"

    def done(self) -> None:
        """The start is over."""
        self._step = ""

    def lives(self) -> str:
        """A start has its own bounds."""
        return ""

    def is_ready(self) -> str:
        """What is still to be done."""
        return self._step

    def has_started(self) -> str:
        """The same."""
        return self._step


class StorePart:
    """Whether the object stores answer, asked every 15 seconds for a key that is not there.

    A store that is away makes the process unready. It lives on: images in work wait for the store,
    and whoever waits too long leaves by itself.
    """

    name: Final = "store"

    def __init__(self, *places: tuple[ObjectStore, str]) -> None:
        """Each store with the prefix below which this process may look."""
        self._places = places
        self._trouble = ""

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._trouble = await self._asked()
            await asyncio.sleep(LOOK_SECONDS)

    async def _asked(self) -> str:
        try:
            looks = (store.exists(prefix + ABSENT_KEY) for store, prefix in self._places)
            await asyncio.gather(*looks)
        except StoreUnavailableError as error:
            structlog.get_logger("imagelane.health").warning("store.unavailable", error=str(error))
            return "a store does not answer, or refuses us; the log says which"
        return ""

    def lives(self) -> str:
        """The stores are outside."""
        return ""

    def is_ready(self) -> str:
        """Why images could not be stored."""
        return self._trouble

    def has_started(self) -> str:
        """They are opened before anything else."""
        return ""
