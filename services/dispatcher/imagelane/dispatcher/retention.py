"""The order of how long things are kept, as far as the dispatcher can see it; a contract test holds the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imagelane.contracts import topics as t
from imagelane.contracts.topic_files import TopicFile
from imagelane.dispatcher.settings import DispatcherSettings
from imagelane.platform.retention import SEGMENT_DAYS, require_days

TELLING_OF_JOBS: Final = (t.JOBS, t.BATCHES, t.COMPLETED, t.FINISHED, t.COMMANDS)


def check_retention(settings: DispatcherSettings, files: Mapping[str, TopicFile]) -> None:
    """Raises `SettingsError` where a topic may still tell of a job that is forgotten: its images would be new."""
    place = ("dispatcher", "retention_days")
    days = settings.retention_days
    require_days(place, days, files, TELLING_OF_JOBS, margin_days=SEGMENT_DAYS)
