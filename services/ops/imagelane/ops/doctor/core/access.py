"""What this login may do on the broker, held against what the topic files say that it must and must not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from imagelane.contracts.topic_files import TopicFile
from imagelane.contracts.topics import TOPOLOGY
from imagelane.ops.access import OPERATOR, rules_of
from imagelane.ops.doctor.core.findings import Finding, Report

GROUP: Final = "imagelane-"
EVERYTHING: Final = frozenset(
    {"READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}
)
_words: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
STEP: Final = (
    "`imagelane topics access --apply` as the brokers' administrator; docs/kafka-security.md"
)


@dataclass(frozen=True, slots=True)
class AccessSeen:
    """What may be done with each topic, named without prefix; with None, not even to see it."""

    allowed: Mapping[str, frozenset[str] | None]
    limits_anybody: bool
    """Whether the broker refuses this login anything at all."""


def judge_access(
    seen: AccessSeen, files: Collection[TopicFile], *, service: str, prefix: str
) -> Report:
    """`service`: whose login it is; `ops` is a person's, who reads everything."""
    if not seen.limits_anybody and service == OPERATOR:
        fact = "this login may do everything, as `ops` has to; `imagelane topics access` looks at the services'"
        return Report((fact,))
    if not seen.limits_anybody:
        fact = "this login may do everything with every topic: nothing keeps the services apart"
        return Report((fact,))
    findings = [
        found
        for topic in files
        if topic.name in seen.allowed
        for found in _wrong(topic, seen, needed(topic.name, service, files), service)
    ]
    named = [Finding(prefix + one.where, one.what, one.next_step) for one in findings]
    return Report((f"looked at as the login of {service!r}",), tuple(named))


def visible_topics(login: str, files: Collection[TopicFile]) -> frozenset[str]:
    """Which topics, with their configuration, the login may see. The record of the topology is among them, or none."""
    named = {
        rule.name
        for rule in rules_of(login, files)
        if rule.kind == "topic" and {"DescribeConfigs", "All"} & {*rule.operations}
    }
    return frozenset(named if TOPOLOGY in named else ())


def visible_groups(login: str, groups: Collection[str]) -> frozenset[str]:
    """Which of these services' groups the login may ask for, with the topics that they read."""
    if login == OPERATOR:
        return frozenset(groups)
    rules = {rule.name for rule in rules_of(login, ()) if rule.kind == "group"}
    return frozenset(one for one in groups if f"{GROUP}{one}" in rules)


def needed(topic: str, service: str, files: Collection[TopicFile]) -> frozenset[str]:
    """Which operations the service needs on the topic, as the client calls them."""
    rules = [one for one in rules_of(service, files) if one.kind == "topic" and one.name == topic]
    named = {_words.sub("_", operation).upper() for one in rules for operation in one.operations}
    return EVERYTHING if "ALL" in named else frozenset(named)


def _wrong(
    topic: TopicFile, seen: AccessSeen, wanted: frozenset[str], service: str
) -> Iterator[Finding]:
    allowed = seen.allowed[topic.name] or frozenset()
    if missing := sorted(wanted - allowed):
        yield Finding(topic.name, f"this login lacks {', '.join(missing)}", f"allow it: {STEP}")
    if "WRITE" in allowed - wanted:
        only = ", ".join(topic.producers)
        what = f"{service} may write here, which only {only} must"
        yield Finding(topic.name, what, f"take it away: {STEP}")
