"""What the downloader tells of in traces."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from msgspec import UNSET

from imagelane.contracts.events import ImageDownloaded
from imagelane.contracts.topics import REQUESTED
from imagelane.platform.records import Record
from imagelane.platform.tracing import Attributes, Work, parent_in, server_of


def _of_image(event: ImageDownloaded) -> Attributes:
    found = server_of(event.url)
    if event.original is not UNSET:
        found["imagelane.original_bytes"] = event.original.size_bytes
    return found


DOWNLOAD: Final = Work("download image", "consumer", REQUESTED, describe=_of_image)


def without_value(record: Record) -> Record:
    """What is kept of a request that may wait for long: where it came from, and its trace's last span."""
    return replace(record, value=None, headers=parent_in(record.headers))
