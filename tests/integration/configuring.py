"""Changing how a broker keeps a topic, as an operator may."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from tests.waiting import wait_until

from imagelane.platform.broker_topics import topic_configs
from imagelane.platform.settings import KafkaSettings


def configure_topic(kafka: KafkaSettings, topic: str, wanted: Mapping[str, str]) -> None:
    """Returns when the broker shows what is wanted: the controller has answered by then, the broker not always."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in wanted.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, kafka.topic(topic), incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.incremental_alter_configs([resource])[resource].result(30)
    wait_until(
        lambda: topic_configs(admin, kafka, [topic])[topic].items() >= wanted.items(),
        f"{topic} shows {wanted}",
    )
