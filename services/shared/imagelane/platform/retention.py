"""What is forgotten here must be forgotten before everywhere from where it could come again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from imagelane.contracts.topic_files import TopicFile
from imagelane.platform.settings import SettingsError, variable_of

DAY_MS: Final = 86_400_000
SEGMENT_DAYS: Final = 7.0
"""Kafka's own: the newest records of a segment keep the oldest alive for so long."""


def require_days(
    place: tuple[str, str],
    days: float,
    files: Mapping[str, TopicFile],
    topics: Iterable[str],
    *,
    margin_days: float = 0.0,
) -> None:
    """Raises `SettingsError` where a topic keeps its records for longer than `days`, less the margin."""
    for topic in topics:
        topic_days = int(files[topic].config["retention.ms"]) / DAY_MS
        if days < topic_days + margin_days:
            margin = f" and a segment's {margin_days:g}" if margin_days else ""
            raise SettingsError(
                f"{variable_of(place)}: {days:g} days are fewer than the {topic_days:g}{margin} for which"
                f" the topic `{topic}` keeps its records"
            )
