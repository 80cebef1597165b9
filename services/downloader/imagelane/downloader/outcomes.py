"""What the downloader tells about an image: the one place where its events are made."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import UNSET, UnsetType

from imagelane.contracts.events import ImageDownloaded, ImageRequested
from imagelane.contracts.parts import Failure, Original


def downloaded(requested: ImageRequested, original: Original, *, seconds: float) -> ImageDownloaded:
    """The original is in the store."""
    return _outcome(requested, seconds, original=original)


def failed(requested: ImageRequested, failure: Failure, *, seconds: float) -> ImageDownloaded:
    """There will be no original. The image goes on along the main road with its failure."""
    return _outcome(requested, seconds, failure=failure)


def _outcome(
    requested: ImageRequested,
    seconds: float,
    *,
    original: Original | UnsetType = UNSET,
    failure: Failure | UnsetType = UNSET,
) -> ImageDownloaded:
    return ImageDownloaded(
        customer_id=requested.customer_id,
        job_id=requested.job_id,
        index=requested.index,
        url=requested.url,
        recipe=requested.recipe,
        destination=requested.destination,
        group=requested.group,
        position=requested.position,
        status="ok" if failure is UNSET else "failed",
        original=original,
        failure=failure,
        seconds=round(seconds, 3),
        occurred_at=datetime.now(UTC),
    )
