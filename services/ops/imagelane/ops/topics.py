"""Topics as files: makes them on a broker, or tells how the broker's differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs do not re-export them
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from imagelane.contracts.topic_files import TopicFile, read_topic_files, schemas_folder
from imagelane.platform.settings import KafkaSettings

TIMEOUT_SECONDS: Final = 30.0
LISTED_POLL_SECONDS: Final = 0.05


class TopicsError(Exception):
    """The broker does not answer, or refuses; the message says which topic and why."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something about a topic that is not as its file says."""

    topic: str
    what: str

    def __str__(self) -> str:
        """`topic: what`."""
        return f"{self.topic}: {self.what}"


def partitions_of(topic: TopicFile, settings: KafkaSettings) -> int:
    """How many partitions the topic has in this deployment."""
    if topic.partitioning == "single":
        return 1
    return settings.partitions(strict=topic.partitioning == "strict")


def _admin(settings: KafkaSettings) -> AdminClient:
    return AdminClient(
        {**settings.client, "bootstrap.servers": settings.bootstrap_servers, "log_level": 0}
    )


def apply(settings: KafkaSettings, say: Callable[[str], None]) -> list[Difference]:
    """Makes the topics that are missing, and returns what differs about the others.

    Never changes a topic that is there: its partition count is part of the lanes' state.
    Raises `TopicsError`.
    """
    admin = _admin(settings)
    files = read_topic_files(schemas_folder())
    present = _present(admin, settings)
    wanted = [
        NewTopic(
            settings.topic(name),
            num_partitions=partitions_of(file, settings),
            replication_factor=settings.replication_factor,
            config=file.config,
        )
        for name, file in files.items()
        if settings.topic(name) not in present
    ]
    made: dict[str, Future[None]] = admin.create_topics(wanted) if wanted else {}
    for name, future in made.items():
        if _made(name, future):
            say(f"made {name}")
    _wait_until_listed(admin, settings, made.keys())
    return check(settings)


def check(settings: KafkaSettings) -> list[Difference]:
    """What about the broker's topics is not as the files and settings say. Raises `TopicsError`."""
    admin = _admin(settings)
    files = read_topic_files(schemas_folder())
    present = _present(admin, settings)
    differences = []
    for name, file in files.items():
        full = settings.topic(name)
        wanted = partitions_of(file, settings)
        if full not in present:
            differences.append(Difference(full, "is missing"))
        elif present[full] != wanted:
            differences.append(
                Difference(full, f"has {present[full]} partitions, the settings say {wanted}")
            )
    there = {settings.topic(name): file for name, file in files.items()}
    return differences + _config_differences(
        admin, {full: file for full, file in there.items() if full in present}
    )


def _present(admin: AdminClient, settings: KafkaSettings) -> dict[str, int]:
    try:
        topics = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise TopicsError(
            f"no broker answers at {settings.bootstrap_servers}"
            f" (IMAGELANE_KAFKA__BOOTSTRAP_SERVERS): {error.args[0].str()}"
        ) from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _wait_until_listed(admin: AdminClient, settings: KafkaSettings, names: Iterable[str]) -> None:
    """A broker answers for a short while after making topics as if they were not there."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not _present(admin, settings).keys() >= set(names) and time.monotonic() < deadline:
        time.sleep(LISTED_POLL_SECONDS)


def _made(name: str, future: Future[None]) -> bool:
    try:
        future.result(TIMEOUT_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise TopicsError(f"{name} could not be made: {error.args[0].str()}") from error
    return True


def _config_differences(admin: AdminClient, files: dict[str, TopicFile]) -> list[Difference]:
    if not files:
        return []
    resources = [ConfigResource(ResourceType.TOPIC, full) for full in files]
    differences = []
    for resource, future in admin.describe_configs(resources).items():
        entries: dict[str, Any] = future.result(TIMEOUT_SECONDS)
        for key, wanted in files[resource.name].config.items():
            actual = entries[key].value if key in entries else "unknown to the broker"
            if actual != wanted:
                differences.append(
                    Difference(resource.name, f"{key} is {actual}, the file says {wanted}")
                )
    return differences
