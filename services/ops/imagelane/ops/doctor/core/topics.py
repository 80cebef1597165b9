"""What is made of the topics as the broker has them: differences from the files, and missing copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from imagelane.ops.doctor.core.findings import Finding, Report, unseen_facts

PAGE: Final = "docs/topics.md, “When something has gone wrong”"
REPLICAS: Final = "IMAGELANE_KAFKA__REPLICATION_FACTOR"
MISSING: Final = "is missing"
MADE_BEFORE: Final = "though it was made"
MADE_ANEW: Final = "made anew"
NO_RECORD: Final = "has no record"
WRONG_CONFIG: Final = "the file says"
WRONG_COUNT: Final = "_PARTITIONS says"
STEPS: Final = {
    REPLICAS: f"more copies by `kafka-reassign-partitions`, or the true number as {REPLICAS}",
    WRONG_COUNT: "if the record has the topics' own count, set the variable to it, here and for every service;"
    f" else {PAGE}",
}
"""By words of the difference, where the step is the same for every topic."""


@dataclass(frozen=True, slots=True)
class PartitionSeen:
    """A partition; `topic` is its full name. Without a leader it takes and gives nothing."""

    topic: str
    number: int
    has_leader: bool
    replicas: int
    in_sync: int


@dataclass(frozen=True, slots=True)
class TopicsSeen:
    """`differences`: of each topic, what is not as files, settings and record say."""

    differences: Sequence[tuple[str, str]]
    partitions: Sequence[PartitionSeen]
    deployment_id: str = ""
    """Whose topics the record says they are; empty without a record."""
    prefix: str = ""
    """Of the deployment, which stands before every topic's name."""
    unseen: int = 0
    """How many topics this login may not see."""


def judge_topics(seen: TopicsSeen) -> Report:
    """One finding for each topic that differs, or whose partitions lack leaders or copies."""
    topics = {one.topic for one in seen.partitions}
    facts = [f"{len(topics)} topics with {len(seen.partitions)} partitions"]
    if seen.deployment_id:
        facts.append(f"recorded as the deployment {seen.deployment_id!r}'s")
    facts.extend(unseen_facts(seen.unseen))
    different = [Finding(topic, what, _step(topic, what, seen)) for topic, what in seen.differences]
    return Report(tuple(facts), (*different, *_copies(seen.partitions)))


def _step(topic: str, what: str, seen: TopicsSeen) -> str:
    if NO_RECORD in what or (what == MISSING):
        return "`imagelane topics apply` makes and records what is missing"
    if MADE_BEFORE in what or MADE_ANEW in what:
        name = topic.removeprefix(seen.prefix)
        return f"stop every service, then `imagelane topics accept {name}`; read {PAGE} before"
    if WRONG_CONFIG in what:
        name = what.split(maxsplit=1)[0]
        return f"`kafka-configs --alter --entity-type topics --entity-name {topic}` sets {name}; {PAGE}"
    for words, step in STEPS.items():
        if words in what:
            return step
    if seen.deployment_id and "deployment" in what:
        return "give this deployment an IMAGELANE_KAFKA__TOPIC_PREFIX of its own"
    return f"stop the services and look into {PAGE}, before anything else"


def _copies(partitions: Iterable[PartitionSeen]) -> Iterator[Finding]:
    by_topic: dict[str, list[PartitionSeen]] = {}
    for one in partitions:
        by_topic.setdefault(one.topic, []).append(one)
    for topic, its in by_topic.items():
        headless = [one.number for one in its if not one.has_leader]
        few = [one.number for one in its if one.in_sync < one.replicas]
        if headless:
            yield Finding(
                topic,
                f"has no leader for {_numbers(headless)}",
                "start the brokers that hold its copies (`kafka-topics --describe --unavailable-partitions`)",
            )
        if few:
            yield Finding(
                topic,
                f"has copies that are not in sync, of {_numbers(few)}",
                "look for the broker that is away, or whose disk is full"
                " (`kafka-topics --describe --under-replicated-partitions`)",
            )


def _numbers(partitions: Sequence[int]) -> str:
    shown = ", ".join(map(str, partitions[:8]))
    more = len(partitions) - 8
    return f"partition {shown}" + (f" and {more} more" if more > 0 else "")
