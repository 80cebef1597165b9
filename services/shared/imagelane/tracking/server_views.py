"""How the server of a waiting image is spared, as the API tells it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from imagelane.contracts.hosts import HostState


class ServerStatus(Struct, frozen=True, kw_only=True):
    """A server that the downloader spares: see `host.recorded.v1`. `code` and `reason` say how it failed last.

    Of several downloaders the one that spares it most: which of them has an image, nobody knows.
    """

    host: str
    state: HostState
    told_at: datetime
    images_at_a_time: int | None = None
    resumes_at: datetime | None = None
    requests_per_second: float | None = None
    code: str | None = None
    reason: str | None = None
