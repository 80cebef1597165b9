"""Topics as files: makes them on a broker and records them, or tells how the broker's differ."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs do not re-export them
    AdminClient,
    NewTopic,
)

from imagelane.contracts.events import TopologyRecorded
from imagelane.contracts.topic_files import TopicFile, read_topic_files, schemas_folder
from imagelane.contracts.topics import TOPOLOGY
from imagelane.core.topology import (
    Expected,
    FoundTopic,
    config_differences,
    record_difference,
    recorded_topics,
    replica_difference,
    topic_differences,
)
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.refusals import told
from imagelane.ops.topology_record import record_of, says_the_same, write_record
from imagelane.platform.broker_topics import found_topics, topic_configs
from imagelane.platform.groups import KafkaStartError, admin_client, require_topics
from imagelane.platform.latest_records import ReadingTooLongError
from imagelane.platform.settings import DEFAULT_DEPLOYMENT, KafkaSettings
from imagelane.platform.topology import TopologyError, expected_of, read_record

TIMEOUT_SECONDS: Final = 30.0
LISTED_POLL_SECONDS: Final = 0.05


class TopicsError(Exception):
    """The broker does not answer, or refuses; the message says which topic and why."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something about a topic that is not as its file, the settings or the record say."""

    topic: str
    what: str

    def __str__(self) -> str:
        """`topic: what`."""
        return f"{self.topic}: {self.what}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment's topics, as they should be and as they are."""

    settings: KafkaSettings
    admin: AdminClient
    expected: Expected
    files: Mapping[str, TopicFile]
    found: Mapping[str, FoundTopic]
    record: TopologyRecorded | None

    def differences(self) -> list[Difference]:
        """Everything that differs but the topics' configuration."""
        settings = self.settings
        of_record = record_difference(self.expected, self.record)
        differences = [Difference(settings.topic(TOPOLOGY), of_record)] if of_record else []
        return differences + [
            Difference(settings.topic(name), what)
            for name, what in self.topic_differences().items()
        ]

    def topic_differences(self) -> dict[str, str]:
        """Which topics are not there, have other counts, or are not the very ones of the record."""
        files = self.files.values()
        return dict(topic_differences(self.expected, self.record, files, self.found))

    def is_somebody_elses(self) -> bool:
        """The record is another deployment's, says other counts, or that a migration is under way."""
        return self.record is not None and bool(record_difference(self.expected, self.record))


def apply(
    settings: KafkaSettings,
    say: Callable[[str], None],
    *,
    deployment_id: str = DEFAULT_DEPLOYMENT,
) -> list[Difference]:
    """Makes the topics that are missing, records all of them once, and returns what differs.

    Never changes a topic that is there: its partition count is part of the lanes' state. Where the
    record is another deployment's or says other counts, nothing is made. Raises `TopicsError`.
    """
    deployment = look(settings, deployment_id)
    if deployment.is_somebody_elses():
        return deployment.differences()
    made_once = {one.name for one in recorded_topics(deployment.record)}
    missing = deployment.files.keys() - deployment.found.keys() - made_once
    if missing:
        make(deployment, missing, say)
        deployment = look(settings, deployment_id)
    if not deployment.topic_differences() and _record(deployment, say):
        deployment = look(settings, deployment_id)  # another deployment may have been as quick
    return all_differences(deployment)


def check(settings: KafkaSettings, *, deployment_id: str = DEFAULT_DEPLOYMENT) -> list[Difference]:
    """What about the broker's topics is not as files, settings and record say. Raises `TopicsError`."""
    return all_differences(look(settings, deployment_id))


def look(
    settings: KafkaSettings, deployment_id: str, only: Collection[str] | None = None
) -> Deployment:
    """The deployment as it is now, or `only` these topics of it. Raises `TopicsError`."""
    every = read_topic_files(schemas_folder())
    files = {name: file for name, file in every.items() if only is None or name in only}
    try:
        require_topics(settings, [])
        admin = admin_client(settings)
        found = found_topics(admin, settings, files)
        record = read_record(settings) if TOPOLOGY in found else None
    except (KafkaException, KafkaStartError, ReadingTooLongError, TopologyError) as error:
        raise TopicsError(told(error)) from error
    return Deployment(settings, admin, expected_of(settings, deployment_id), files, found, record)


def new_topic(settings: KafkaSettings, expected: Expected, file: TopicFile) -> NewTopic:
    """A topic as its file and the settings want it."""
    return NewTopic(
        settings.topic(file.name),
        num_partitions=expected.partitions_of(file),
        replication_factor=settings.replication_factor,
        config=file.config,
    )


def make(deployment: Deployment, names: Collection[str], say: Callable[[str], None]) -> None:
    """Makes these topics, and waits until the broker lists them. Raises `TopicsError`."""
    settings, admin = deployment.settings, deployment.admin
    wanted = [
        new_topic(settings, deployment.expected, deployment.files[name]) for name in sorted(names)
    ]
    made: dict[str, Future[None]] = admin.create_topics(wanted) if wanted else {}
    for name, future in made.items():
        if _made(name, future):
            say(f"made {name}")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    # A broker answers for a short while after making topics as if they were not there.
    while made and len(found_topics(admin, settings, names)) < len(wanted):
        if time.monotonic() > deadline:
            raise TopicsError(f"{', '.join(made)} were made, and the broker does not list them")
        time.sleep(LISTED_POLL_SECONDS)


def _made(name: str, future: Future[None]) -> bool:
    try:
        future.result(TIMEOUT_SECONDS)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise TopicsError(f"{name} could not be made: {told(error)}") from error
    return True


def _record(deployment: Deployment, say: Callable[[str], None]) -> bool:
    """Whether there was anything to record."""
    record = record_of(deployment.expected, deployment.found)
    if says_the_same(deployment.record, record):
        return False
    try:
        write_record(deployment.settings, record)
    except DeliveryError as error:
        raise TopicsError(str(error)) from error
    say(f"recorded the topics as the deployment {record.deployment_id!r}'s")
    return True


def all_differences(deployment: Deployment) -> list[Difference]:
    """Everything that differs, the topics' configuration with it. Raises `TopicsError`."""
    settings, found = deployment.settings, deployment.found
    try:
        configs = topic_configs(deployment.admin, settings, found) if found else {}
    except KafkaException as error:
        raise TopicsError(f"the topics' configuration: {told(error)}") from error
    differences = deployment.differences()
    for name, topic in found.items():
        few = replica_difference(topic, settings.replication_factor)
        found_wrong = [
            *config_differences(deployment.files[name], configs[name]),
            *([few] if few else []),
        ]
        differences += [Difference(settings.topic(name), what) for what in found_wrong]
    return differences
