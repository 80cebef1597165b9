"""The AsyncAPI 3 document: channels from the topic files, messages by reference to the event schemas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from imagelane.contracts.dead_letters import ERRORS
from imagelane.contracts.documents import yaml_document
from imagelane.contracts.topic_files import TopicFile

BINDING: Final = "0.5.0"
DEAD_LETTER: Final = "dead-letter"
_CHANGELOG: Final = "-changelog"
_NUMBERS: Final = frozenset({"retention.ms", "max.message.bytes", "segment.ms", "segment.bytes"})

_ABOUT: Final = """\
What travels between the services of Imagelane: lists of image URLs in, processed images out, and an
external batch API told about them, one call per customer at a time. Every value is one line of JSON in
UTF-8, every key the customer's ID in plain UTF-8 where a channel does not say otherwise, and every record
a CloudEvent in binary mode. Within a version an event only gains optional fields; ignore what you do not know.
Names of topics stand without a deployment's prefix.
"""

_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The same event, sent twice, has the same id."},
        "ce_type": {"type": "string", "description": "The same as `type` in the value."},
        "ce_source": {"type": "string", "description": "Who sent it, such as /services/intake."},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"type": "string", "const": "application/json"},
        "traceparent": {
            "type": "string",
            "description": "W3C trace context; the events of one image share a trace.",
        },
    },
}

DEAD_LETTER_ERRORS: Final = (
    "topic",
    "partition",
    "offset",
    "timestamp",
    "group",
    "exception.class.name",
    "message",
)
_DEAD_LETTER_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "The record's own headers, and on top:",
    "properties": {f"{ERRORS}{name}": {"type": "string"} for name in DEAD_LETTER_ERRORS},
}


def examples_in(schemas: Path) -> dict[str, list[str]]:
    """The names of the examples of each event, in order."""
    return {
        folder.name: sorted(path.stem for path in folder.glob("*.json"))
        for folder in sorted((schemas / "examples").glob("*"))
    }


def document(topics: Mapping[str, TopicFile], examples: Mapping[str, list[str]]) -> str:
    """The whole document as YAML. The same input gives the same text."""
    public = {name: topic for name, topic in topics.items() if not name.endswith(_CHANGELOG)}
    events = sorted({event for topic in public.values() for event in topic.events})
    made = {
        "asyncapi": "3.1.0",
        "info": {"title": "Imagelane", "version": "1.0.0", "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {name: _channel(topic) for name, topic in public.items()},
        "operations": dict(_operations(public)),
        "components": {
            "messages": {
                **{event: _message(event, examples.get(event, [])) for event in events},
                DEAD_LETTER: _dead_letter(),
            },
            "messageTraits": {"cloud-event": {"headers": _HEADERS}},
        },
    }
    return "# Made by `python -m imagelane.contracts.schemas --write`.\n" + yaml_document(
        made, width=110
    )


def _channel(topic: TopicFile) -> dict[str, Any]:
    binding: dict[str, Any] = {"topic": topic.name}
    if topic.partitioning == "single":
        binding["partitions"] = 1
    config: dict[str, Any] = {
        name: int(value) if name in _NUMBERS else value for name, value in topic.config.items()
    }
    config["cleanup.policy"] = topic.config["cleanup.policy"].split(",")
    binding |= {"topicConfiguration": config, "bindingVersion": BINDING}
    messages = topic.events or [DEAD_LETTER]
    return {
        "address": topic.name,
        "description": f"{topic.description}\n\nPartitioning: {topic.partitioning}. Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": binding},
    }


def _operations(topics: Mapping[str, TopicFile]) -> list[tuple[str, dict[str, Any]]]:
    operations = []
    for name, topic in topics.items():
        channel = {"$ref": f"#/channels/{name}"}
        for action, services in (("send", topic.producers), ("receive", topic.consumers)):
            for service in services:
                told = {"action": action, "channel": channel, "tags": [{"name": service}]}
                operations.append((f"{service}.{action}s.{name}", told))
    return operations


def _message(event: str, examples: list[str]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": event,
        "title": event,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-07",
            "schema": {"$ref": f"./events/{event}.json"},
        },
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": BINDING}},
        "examples": [
            {"name": name, "payload": {"$ref": f"./examples/{event}/{name}.json"}}
            for name in examples
        ],
    }
    if event == "list.submitted.v1":
        message["summary"] = "As plain JSON without headers, or as a CloudEvent of either mode."
    else:
        message["traits"] = [{"$ref": "#/components/messageTraits/cloud-event"}]
    return message


def _dead_letter() -> dict[str, Any]:
    return {
        "name": DEAD_LETTER,
        "title": "A record that could not be read",
        "summary": "Key, value and headers as they came, whatever they are.",
        "headers": _DEAD_LETTER_HEADERS,
    }
