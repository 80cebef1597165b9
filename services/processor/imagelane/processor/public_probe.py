"""Promise I5 at the start: what is put into a destination can be read at its public URL.

One tiny image per destination, always the same one in the same place: nothing piles up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from imagelane.core.destinations import Destination
from imagelane.core.recipes import OutputSpec
from imagelane.platform.health_parts import StartPart
from imagelane.platform.settings import variable_of
from imagelane.platform.store import PUBLIC_CACHE_CONTROL, ObjectHeaders, ObjectStore
from imagelane.processor.public_look import PublicLook

JOB: Final = "imagelanestartupprobe22222222222"
"""Has the shape of a job's ID, so that whoever serves results serves it; no job has it."""
OUTPUT: Final = OutputSpec("probe", "gif", "image/gif", box=None, quality=100)
IMAGE: Final = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
AGAIN_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 2.0


class PublicProbeError(Exception):
    """A destination's public URL does not serve what was put there; the message names both."""


class StoreOfDestination(Protocol):
    """The stores, as far as the probe needs them: `Stores`."""

    def destination(self, name: str) -> ObjectStore:
        """The store behind a destination."""
        ...


async def prove_public(
    destinations: Mapping[str, Destination],
    stores: StoreOfDestination,
    start: StartPart,
    *,
    patience_seconds: float,
) -> None:
    """Puts the probe into each destination, and returns when it was read at each public URL.

    Whoever serves them may start later than we, so it looks again and again. Raises `PublicProbeError`
    after `patience_seconds`, and `StoreUnavailableError`.
    """
    for destination in destinations.values():
        await stores.destination(destination.name).put(
            destination.key(JOB, 0, OUTPUT),
            IMAGE,
            ObjectHeaders(OUTPUT.content_type, PUBLIC_CACHE_CONTROL),
        )
    deadline = asyncio.get_running_loop().time() + patience_seconds
    async with PublicLook() as look:
        for destination in destinations.values():
            await _until_readable(destination, look, start, deadline)


async def _until_readable(
    destination: Destination, look: PublicLook, start: StartPart, deadline: float
) -> None:
    time = asyncio.get_running_loop().time
    url = destination.public_url(JOB, 0, OUTPUT)
    # Signed, where that is needed, for long enough: this look has an end.
    readable = destination.readable(url, datetime.now(UTC))
    pause_seconds = AGAIN_SECONDS
    while trouble := await look.trouble_with(readable, size_bytes=len(IMAGE), content=IMAGE):
        if time() >= deadline:
            base = variable_of(("store", "destinations", destination.name, "public_base_url"))
            off = variable_of(("processor", "public_probe_seconds"))
            raise PublicProbeError(
                f"what is stored in the destination {destination.name!r} cannot be read at its public"
                f" URL {url}: {trouble}. Start what serves it, or correct {base};"
                f" {off}=0 leaves this look out"
            )
        start.waits_for(f"{url}, which serves the destination {destination.name!r}: {trouble}")
        await asyncio.sleep(min(pause_seconds, max(deadline - time(), 0.0)))
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
    structlog.get_logger("imagelane.processor").info(
        "destination.is_public", destination=destination.name, url=url
    )
