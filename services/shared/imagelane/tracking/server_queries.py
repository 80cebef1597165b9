"""Questions about servers of images, as statements."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from yarl import URL

from imagelane.core.admission import NO_URL, server_of
from imagelane.tracking import tables as t
from imagelane.tracking.image_views import instant, moment, reason_of
from imagelane.tracking.job_queries import rows_of
from imagelane.tracking.server_views import ServerStatus

Row = Mapping[str, Any]
STEADY: Final = "steady"
BY_WEIGHT: Final = ("rated", "slowed", "failing", "asked_to_wait")


async def find_server(
    connection: AsyncConnection, url: str | None, now: datetime
) -> ServerStatus | None:
    """How the URL's server is spared now; None where no downloader says that it is."""
    names = server_names(url or "")
    if not names:
        return None
    h = t.hosts.c
    found = select(t.hosts).where(
        h.host.in_(names),
        or_(h.host == names[0], h.requests_per_second.is_not(None)),
        h.state != STEADY,
        h.holds_until > int(now.astimezone(UTC).timestamp() * 1_000),
    )
    rows = await rows_of(connection, found)
    return _status(max(rows, key=_weight)) if rows else None


def server_names(url: str) -> list[str]:
    """What the server may be called: itself first, then every domain above it, which may have a rate."""
    try:
        parsed = URL(url)
        host = parsed.raw_host
        if not host:
            return []
        names = [server_of(parsed, host)]
    except NO_URL:
        return []
    domain = host.removesuffix(".")
    while domain:
        names.append(domain)
        domain = domain.partition(".")[2]
    return names


def _weight(row: Row) -> tuple[int, int]:
    state = row["state"]
    return BY_WEIGHT.index(state) if state in BY_WEIGHT else -1, row["resumes_at"] or 0


def _status(row: Row) -> ServerStatus:
    return ServerStatus(
        host=row["host"],
        state=row["state"],
        told_at=instant(row["told_at"]),
        images_at_a_time=row["images_at_a_time"],
        resumes_at=moment(row["resumes_at"]),
        requests_per_second=row["requests_per_second"],
        code=row["trouble"],
        reason=reason_of(row["trouble"], None),
    )
