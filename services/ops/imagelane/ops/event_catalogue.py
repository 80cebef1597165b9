"""`docs/events.md`: every topic and event with its fields and an example, from the files of `schemas`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from imagelane.contracts.schemas import EVENTS, event_file
from imagelane.contracts.topic_files import TopicFile, read_topic_files
from imagelane.contracts.topics import EVENTS_OF, URLS, dead_letter_topic
from imagelane.ops.schema_words import bounds, kind, plain, table

_HEAD: Final = """\
# Topics and events

Made from the files of [`schemas/`](../schemas) by `python -m imagelane.ops.reference --write`.

Every value is one line of JSON in UTF-8, every record a [CloudEvent](https://cloudevents.io) in binary mode:
its attributes stand in the headers `ce_id`, `ce_type`, `ce_source`, `ce_time`, and `traceparent` joins the events
of one image. Keys are the customer's ID in plain UTF-8 unless said otherwise. Times are RFC 3339 with an offset.
A version of an event only ever gains optional fields, so ignore what you do not know; anything else is a new version.
"""
_DEAD_LETTERS: Final = """
`strict` topics all have as many partitions as the setting `strict_partitions` says, and are partitioned by murmur2 of
the key, as Java's clients do it; on `spread` ones a customer may have several partitions; `single` ones have one.

A record that its reader cannot read goes to `dlq.<topic>` with its own key, value and headers, and the reason in
`__dlq.errors.*`; it is kept for 30 days.
"""
_ROAD: Final = (URLS, *EVENTS_OF)
_DEAD: Final = dead_letter_topic("")
_DAY_MS: Final = 86_400_000


def page(schemas: Path) -> str:
    """The whole page. The same files give the same text."""
    topics = read_topic_files(schemas)
    documents = {name: json.loads(event_file(schemas, name).read_text()) for name in EVENTS}
    parts = {
        name: part
        for document in documents.values()
        for name, part in document.get("definitions", {}).items()
        if part["title"] not in documents
    }
    sections = [_HEAD, "## Topics\n", _topics(topics), "## Events\n"]
    for name, document in documents.items():
        topic = next(one for one in topics.values() if name in one.events)
        sections += [_event(name, document, topic), _examples(schemas, name)]
    sections.append("## Parts of events\n")
    for name in sorted(parts):
        sections.append(f"### {name}\n\n{parts[name]['description']}\n\n{_fields(parts[name])}")
    return "\n".join(sections)


def _topics(topics: Mapping[str, TopicFile]) -> str:
    """The topics in the order of the road, then what belongs to one service alone."""
    own = [name for name in topics if name not in _ROAD and not name.startswith(_DEAD)]
    head = ("topic", "events", "from", "to", "partitions", "kept", "what for")
    rows = [
        (
            f"`{name}`",
            ", ".join(f"[{event}](#{event.replace('.', '')})" for event in topics[name].events),
            ", ".join(topics[name].producers),
            ", ".join(topics[name].consumers),
            topics[name].partitioning,
            _kept(topics[name]),
            topics[name].description,
        )
        for name in (*_ROAD, *own)
    ]
    return table(head, rows) + _DEAD_LETTERS


def _kept(topic: TopicFile) -> str:
    if topic.compacted:
        return "last of each key"
    days, rest = divmod(int(topic.config["retention.ms"]), _DAY_MS)
    return f"{rest // 3_600_000} h" if rest else f"{days} d"


def _event(name: str, document: Mapping[str, Any], topic: TopicFile) -> str:
    way = f"On `{topic.name}`, from {' and '.join(topic.producers)}"
    to = f" to {', '.join(topic.consumers)}" if topic.consumers else ""
    return (
        f"### {name}\n\n{document['description']}\n\n{way}{to}."
        f" Schema: [{name}.json](../schemas/events/{name}.json).\n\n{_fields(document)}"
    )


def _fields(part: Mapping[str, Any]) -> str:
    rows = []
    for name, field in part["properties"].items():
        limits = bounds(field)
        rows.append(
            (
                f"`{name}`",
                kind(field) + (f" ({limits})" if limits else ""),
                "yes" if name in part.get("required", []) else _optional(field),
                field.get("description", ""),
            )
        )
    return table(("field", "type", "required", "meaning"), rows)


def _optional(field: Mapping[str, Any]) -> str:
    return f"no: {plain(field['default'])}" if "default" in field else "no"


def _examples(schemas: Path, name: str) -> str:
    """The example with the most to see, and the names of all."""
    paths = sorted((schemas / "examples" / name).glob("*.json"))
    longest = max(paths, key=lambda path: len(path.read_bytes()))
    links = ", ".join(f"[{path.stem}](../schemas/examples/{name}/{path.name})" for path in paths)
    return f"Examples: {links}. The longest of them:\n\n```json\n{longest.read_text()}```\n"
