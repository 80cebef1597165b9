"""The order of how long things are kept, as far as the batcher can see it; a contract test holds the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imagelane.batcher.settings import BatcherSettings
from imagelane.contracts import topics as t
from imagelane.contracts.topic_files import TopicFile
from imagelane.platform.retention import SEGMENT_DAYS, require_days

BRINGING_IMAGES: Final = (t.URLS, t.REQUESTED, t.DOWNLOADED, t.PROCESSED, t.MISSING)
"""Read once more, each of these makes an event that is as fresh as any."""


def check_retention(settings: BatcherSettings, files: Mapping[str, TopicFile]) -> None:
    """Raises `SettingsError` where a topic may still bring images of a job that is forgotten: it would begin again."""
    place = ("batcher", "retention_days")
    days = settings.retention_days
    require_days(place, days, files, BRINGING_IMAGES, margin_days=SEGMENT_DAYS)
