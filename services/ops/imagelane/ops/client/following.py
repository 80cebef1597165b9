"""Following a job by the gateway's server-sent events, over every break of the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from imagelane.ops.client.core.answers import Job, read
from imagelane.ops.client.core.server_sent import EventReader
from imagelane.ops.client.gateway import Gateway, NotFoundError, PassingError
from imagelane.ops.client.patience import LONGEST_PAUSE_SECONDS, Sleep, Tell

RETRY_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 45.0
"""The gateway says something every 15 s; who is silent for longer is gone."""
UNKNOWN_SECONDS: Final = 120.0
"""A job that was handed in just now is unknown until the tracker has read of it, should the gateway start anew."""


@dataclass(slots=True)
class Follower:
    """Tells how a job stands whenever that changes, until the job is over. `tell` hears of what is in the way."""

    gateway: Gateway
    job_id: str
    tell: Tell
    sleep: Sleep = asyncio.sleep
    _last_id: str = field(default="", init=False)

    async def statuses(self) -> AsyncIterator[Job]:
        """How it stands now, then each change; the last one is over. Waits for a gateway that is away.

        Raises `GatewayError` for a key or a job that the gateway does not know.
        """
        pause, unknown_seconds, is_told = RETRY_SECONDS, 0.0, False
        while True:
            try:
                async for job in self._stream():
                    pause, unknown_seconds, is_told = RETRY_SECONDS, 0.0, False
                    yield job
                    if job.is_over:
                        return
            except NotFoundError:
                unknown_seconds += pause
                if self._last_id or unknown_seconds > UNKNOWN_SECONDS:
                    raise
            except PassingError as error:
                if not is_told:
                    self.tell(
                        f"{error}; the job goes on, and so does this when the gateway is back"
                    )
                is_told = True
                asked = error.after_seconds or pause * 2
                pause = min(asked, LONGEST_PAUSE_SECONDS)
            await self.sleep(pause)

    async def _stream(self) -> AsyncIterator[Job]:
        headers = {"Accept": "text/event-stream"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        reader = EventReader()
        async with self.gateway.answer(
            "GET",
            f"/v1/jobs/{self.job_id}/events",
            headers=headers,
            silence_seconds=SILENCE_SECONDS,
        ) as response:
            if response.status == HTTPStatus.NO_CONTENT:  # it was over when we were told last
                yield read(await self.gateway.get(f"/v1/jobs/{self.job_id}"), Job)
            async for piece in response.content.iter_any():
                for event in reader.feed(piece):
                    self._last_id = event.id or self._last_id
                    if event.kind == "job":
                        yield read(event.data, Job)
