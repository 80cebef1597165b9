"""The order of how long things are kept, as far as intake can see it; a contract test holds the defaults."""

from __future__ import annotations

from collections.abc import Mapping

from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import JOBS, URLS
from imagelane.intake.settings import IntakeSettings
from imagelane.platform.retention import require_days


def check_retention(settings: IntakeSettings, files: Mapping[str, TopicFile]) -> None:
    """Raises `SettingsError` where a topic may still tell of what is forgotten here."""
    require_days(("intake", "retention_days"), settings.retention_days, files, [JOBS])
    upload_days = settings.upload_retention_days
    require_days(("intake", "upload_retention_days"), upload_days, files, [URLS])
