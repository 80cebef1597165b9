"""Whether a deployment's topics are what they were made as: if not, customers may be in two places.

Three things have to agree: what the settings say, what the topology record says, and what the broker has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from imagelane.contracts.events import TopologyRecorded
from imagelane.contracts.parts import RecordedTopic
from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import TOPOLOGY

STRICT_SETTING: Final = "IMAGELANE_KAFKA__STRICT_PARTITIONS"
SPREAD_SETTING: Final = "IMAGELANE_KAFKA__SPREAD_PARTITIONS"
DEPLOYMENT_SETTING: Final = "IMAGELANE_DEPLOYMENT_ID"
PREFIX_SETTING: Final = "IMAGELANE_KAFKA__TOPIC_PREFIX"
FOR_EVER: Final = -1
REBUILT: Final = "-changelog"
"""How the names of topics end whose loss is nothing: their owner notices it, and makes them good."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the settings say."""

    deployment_id: str
    strict_partitions: int
    spread_partitions: int
    topic_prefix: str = ""

    def partitions_of(self, topic: TopicFile) -> int:
        """How many partitions the topic has to have."""
        counts = {"strict": self.strict_partitions, "spread": self.spread_partitions, "single": 1}
        return counts[topic.partitioning]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the broker has it. `replicas`: of the partition that has the fewest."""

    partitions: int
    topic_id: str
    replicas: int


def record_difference(expected: Expected, record: TopologyRecorded | None) -> str:
    """How the record contradicts the settings, or an empty string."""
    where = f"the record on {expected.topic_prefix}{TOPOLOGY}"
    if record is None:
        return (
            f"{expected.topic_prefix}{TOPOLOGY} has no record: `imagelane topics apply` writes it"
        )
    if record.deployment_id != expected.deployment_id:
        return (
            f"{where} says that these topics are the deployment {record.deployment_id!r}'s, and"
            f" {DEPLOYMENT_SETTING} says {expected.deployment_id!r}:"
            f" a deployment of its own needs {PREFIX_SETTING} of its own"
        )
    if record.growing_to is not UNSET:
        return (
            f"{where} says that a migration to {record.growing_to.strict_partitions} strict partitions"
            " is under way: `imagelane topics migrate` ends it"
        )
    if record.strict_partitions != expected.strict_partitions:
        return (
            f"{where} says {record.strict_partitions} partitions of every strict topic, and"
            f" {STRICT_SETTING} says {expected.strict_partitions}"
        )
    return ""


def topic_differences(
    expected: Expected,
    record: TopologyRecorded | None,
    topics: Iterable[TopicFile],
    found: Mapping[str, FoundTopic],
) -> Iterator[tuple[str, str]]:
    """The topics that are not what they were made as, and how. Names are without the prefix."""
    recorded = {one.name: one for one in recorded_topics(record)}
    for topic in topics:
        here, made_as = found.get(topic.name), recorded.get(topic.name)
        if here is None:
            made = ", though it was made: see docs/topics.md" if made_as else ""
            yield topic.name, f"is missing{made}"
        elif here.partitions != expected.partitions_of(topic):
            yield topic.name, _count_difference(expected, topic, here)
        elif made_as is not None and made_as.topic_id != here.topic_id:
            yield (
                topic.name,
                f"was deleted and made anew: its id is {here.topic_id}, and was {made_as.topic_id}",
            )


def difference(
    expected: Expected,
    record: TopologyRecorded | None,
    topics: Iterable[TopicFile],
    found: Mapping[str, FoundTopic],
) -> str:
    """Why nothing may be sent or produced, in words for a person; an empty string if all agree."""
    of_record = record_difference(expected, record)
    if of_record:
        return of_record
    of_topics = topic_differences(expected, record, topics, found)
    return "; ".join(f"{expected.topic_prefix}{name} {what}" for name, what in of_topics)


def config_differences(topic: TopicFile, actual: Mapping[str, str]) -> Iterator[str]:
    """Which of the broker's settings of the topic are not as its file says."""
    for name, wanted in topic.config.items():
        value = actual.get(name, "unknown to the broker")
        if value != wanted:
            yield f"{name} is {value}, the file says {wanted}"


def losing_differences(topic: TopicFile, actual: Mapping[str, str]) -> Iterator[str]:
    """Those that lose records: another cleanup policy, or a shorter retention than the file's."""
    for text in config_differences(topic, actual):
        name = text.split()[0]
        if name == "cleanup.policy" or (name == "retention.ms" and _is_shorter(topic, actual)):
            yield text


def replica_difference(found: FoundTopic, wanted: int) -> str:
    """Whether fewer copies are kept than the setting wants, in words, or an empty string."""
    if found.replicas >= wanted:
        return ""
    return f"is kept {found.replicas} times, IMAGELANE_KAFKA__REPLICATION_FACTOR says {wanted}"


def recorded_topics(record: TopologyRecorded | None) -> list[RecordedTopic]:
    """The topics that have to be the very ones of the record; none in a record of an older version."""
    named = [] if record is None or record.topics is UNSET else record.topics
    return [one for one in named if not one.name.endswith(REBUILT)]


def _count_difference(expected: Expected, topic: TopicFile, here: FoundTopic) -> str:
    wanted = expected.partitions_of(topic)
    setting = {"strict": f"{STRICT_SETTING} says", "spread": f"{SPREAD_SETTING} says"}
    says = setting.get(topic.partitioning, "it must have")
    return f"has {here.partitions} partitions, {says} {wanted}"


def _is_shorter(topic: TopicFile, actual: Mapping[str, str]) -> bool:
    kept, wanted = int(actual.get("retention.ms", FOR_EVER)), int(topic.config["retention.ms"])
    return kept != FOR_EVER and (wanted == FOR_EVER or kept < wanted)
