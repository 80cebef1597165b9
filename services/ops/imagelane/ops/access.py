"""Which service may do what on the broker: follows from the topic files' producers and consumers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import TOPOLOGY

Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "AlterConfigs", "All"]
ResourceType = Literal["topic", "group", "transactionalId", "cluster"]

OPERATOR: Final = "ops"
SCALER: Final = "keda"
"""No service of ours: it compares commits with ends, to say how many workers there shall be."""
IN_NO_GROUP: Final = frozenset({"gateway", OPERATOR, SCALER})
"""They read partitions that they choose themselves, and commit nothing."""
LOOKS_AT_GROUPS: Final = {
    "intake": ("downloader", "processor"),
    "downloader": ("processor",),
    SCALER: ("downloader", "processor"),
}
"""Whose progress a service asks for, besides that of its own group."""
LOOKS_AT_TOPICS: Final = {"gateway": ("batcher", "dispatcher")}
"""Whose topics a service compares with how they were made, besides its own."""
MORE_GROUPS: Final = {"intake": ("imagelane-intake-orders",)}
ONLY_NAMED: Final = {"gateway": ("imagelane-keys",)}
"""Groups that a client names, because librdkafka wants one, and never joins: it still asks who coordinates them."""
READER: Final = "imagelane-reader"
"""The same, of everybody: for whoever reads the record of the topology."""
TRANSACTIONAL: Final = frozenset({"dispatcher"})


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """What one principal may do with one resource, or with all whose names begin alike.

    Names are without a deployment's prefix.
    """

    kind: ResourceType
    name: str
    operations: tuple[Operation, ...]
    prefix: bool = False


def principals(topics: Iterable[TopicFile]) -> list[str]:
    """The names of all services that the topic files name, and of who looks on."""
    return sorted({SCALER} | {name for one in topics for name in (*one.producers, *one.consumers)})


def rules_of(service: str, topics: Iterable[TopicFile]) -> list[Rule]:
    """All that the service may do, sorted; nothing else may be allowed to it."""
    if service == OPERATOR:
        return [
            Rule("cluster", "kafka-cluster", ("Describe", "DescribeConfigs")),
            Rule("group", "imagelane-", ("All",), prefix=True),
            *(
                Rule("topic", one.name, ("All",))
                for one in sorted(topics, key=lambda one: one.name)
            ),
        ]
    return sorted([*_topic_rules(service, topics), *_group_rules(service)])


def _topic_rules(service: str, topics: Iterable[TopicFile]) -> Iterator[Rule]:
    for topic in topics:
        operations: list[Operation] = []
        # Everybody compares the record of the topology with what is there.
        if service in topic.consumers or (topic.name == TOPOLOGY and service != SCALER):
            operations.append("Read")
        if service in topic.producers:
            operations.append("Write")
        looks = {*LOOKS_AT_TOPICS.get(service, ())} & {*topic.producers, *topic.consumers}
        if operations or looks:
            yield Rule("topic", topic.name, (*operations, "Describe", "DescribeConfigs"))
    for looked_at in LOOKS_AT_GROUPS.get(service, ()):
        for topic in topics:
            used = service in (*topic.producers, *topic.consumers)
            if looked_at in topic.consumers and not used and topic.name != TOPOLOGY:
                yield Rule("topic", topic.name, ("Describe",))


def _group_rules(service: str) -> Iterator[Rule]:
    own = f"imagelane-{service}"
    groups = () if service in IN_NO_GROUP else (own, *MORE_GROUPS.get(service, ()))
    for group in groups:
        yield Rule("group", group, ("Read", "Describe", "DescribeConfigs", "AlterConfigs"))
    named = () if service == SCALER else (READER, *ONLY_NAMED.get(service, ()))
    for group in named:
        yield Rule("group", group, ("Describe",))
    for looked_at in LOOKS_AT_GROUPS.get(service, ()):
        yield Rule("group", f"imagelane-{looked_at}", ("Describe",))
    if service in TRANSACTIONAL:
        yield Rule("transactionalId", f"{own}-", ("Write", "Describe"), prefix=True)
