"""The files of `schemas/topics`: what a topic is for, who may use it, and how it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct


class TopicFileError(ValueError):
    """A topic file does not have the shape of one; the message names the file and the field."""


class TopicFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One topic. `name` is without a deployment's prefix; the values of `config` are Kafka's own.

    `partitioning`: `strict` and `spread` take their number of partitions from the settings of the
    same name, `single` topics have one. `events` is empty for bytes that are not one of our events.
    """

    name: str
    description: str
    partitioning: Literal["strict", "spread", "single"]
    key: str
    events: list[str]
    producers: list[str]
    consumers: list[str]
    config: dict[str, str]

    @property
    def compacted(self) -> bool:
        """Kafka keeps the last record of each key, instead of every record for a time."""
        return "compact" in self.config["cleanup.policy"]


def schemas_folder() -> Path:
    """The folder `schemas` of an installed distribution, else that of the checkout."""
    here = Path(__file__)
    installed = here.with_name("schemas")
    return installed if installed.is_dir() else here.parents[4] / "schemas"


def read_topic_files(schemas: Path) -> dict[str, TopicFile]:
    """Every topic by its name, in the order of the names. Raises `TopicFileError`."""
    topics = {}
    for path in sorted((schemas / "topics").glob("*.yaml")):
        try:
            topic = msgspec.yaml.decode(path.read_bytes(), type=TopicFile)
        except msgspec.MsgspecError as error:
            raise TopicFileError(f"{path}: {error}") from error
        if topic.name in topics:
            raise TopicFileError(f"{path}: another file has the name {topic.name!r} too")
        topics[topic.name] = topic
    if not topics:
        raise TopicFileError(f"{schemas / 'topics'}: there are no topic files")
    return topics
