"""The order of how long things are kept, as far as intake can see it; a contract test holds the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import JOBS, URLS
from imagelane.intake.settings import IntakeSettings
from imagelane.platform.settings import SettingsError, variable_of

DAY_MS: Final = 86_400_000


def check_retention(settings: IntakeSettings, files: Mapping[str, TopicFile]) -> None:
    """Raises `SettingsError` where a topic may still tell of what is forgotten here."""
    for name, days, topic in (
        ("retention_days", settings.retention_days, JOBS),
        ("upload_retention_days", settings.upload_retention_days, URLS),
    ):
        topic_days = int(files[topic].config["retention.ms"]) / DAY_MS
        if days < topic_days:
            raise SettingsError(
                f"{variable_of(('intake', name))}: {days:g} days are fewer than the {topic_days:g} for which"
                f" the topic `{topic}` keeps its records"
            )
