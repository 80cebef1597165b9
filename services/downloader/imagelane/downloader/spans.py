"""What the downloader tells of in traces."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from msgspec import UNSET

from imagelane.contracts.events import ImageDownloaded
from imagelane.contracts.topics import REQUESTED
from imagelane.platform.records import Record
from imagelane.platform.tracing import Attributes, Value, Work, parent_in


def _of_image(event: ImageDownloaded) -> Attributes:
    """Of the URL only scheme and server: paths and queries hold other people's signatures."""
    found: dict[str, Value] = {}
    try:
        url = urlsplit(event.url)
        if url.hostname:
            found = {"url.scheme": url.scheme, "server.address": url.hostname}
    except ValueError:  # a line that is no URL: its failure says so
        pass
    if event.original is not UNSET:
        found["imagelane.original_bytes"] = event.original.size_bytes
    return found


DOWNLOAD: Final = Work("download image", "consumer", REQUESTED, describe=_of_image)


def without_value(record: Record) -> Record:
    """What is kept of a request that may wait for long: where it came from, and its trace's last span."""
    return replace(record, value=None, headers=parent_in(record.headers))
