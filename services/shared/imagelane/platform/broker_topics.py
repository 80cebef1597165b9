"""What the broker says of the deployment's topics: partitions, ids, copies, configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    ConfigResource,
    ResourceType,
)

from imagelane.core.topology import FoundTopic
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 5.0


def found_topics(
    admin: AdminClient, settings: KafkaSettings, names: Iterable[str]
) -> dict[str, FoundTopic]:
    """Those of the topics that exist; named without the deployment's prefix here as there.

    One request, for five seconds at most. Raises `KafkaException`.
    """
    logical = {settings.topic(name): name for name in names}
    answers = admin.describe_topics(TopicCollection(list(logical)), request_timeout=ANSWER_SECONDS)
    found = {}
    for full, answer in answers.items():
        try:
            topic = answer.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise
        found[logical[full]] = FoundTopic(
            partitions=len(topic.partitions),
            topic_id=str(topic.topic_id),
            replicas=min(len(one.replicas) for one in topic.partitions),
        )
    return found


def topic_configs(
    admin: AdminClient, settings: KafkaSettings, names: Iterable[str]
) -> dict[str, dict[str, str]]:
    """The configuration of each of these topics, which must exist. Raises `KafkaException`."""
    logical = {settings.topic(name): name for name in names}
    resources = [ConfigResource(ResourceType.TOPIC, full) for full in logical]
    configs = {}
    answers = admin.describe_configs(resources, request_timeout=ANSWER_SECONDS)
    for resource, answer in answers.items():
        entries: dict[str, Any] = answer.result()
        configs[logical[resource.name]] = {name: str(one.value) for name, one in entries.items()}
    return configs
