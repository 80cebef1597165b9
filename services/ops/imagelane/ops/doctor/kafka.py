"""Looks at the broker: who answers, topics, access, groups. Every look asks, and changes nothing."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops import topics
from imagelane.ops.consumer_groups import ConsumerGroups
from imagelane.ops.doctor.core.access import (
    EVERYTHING,
    AccessSeen,
    judge_access,
    visible_groups,
    visible_topics,
)
from imagelane.ops.doctor.core.brokers import BrokerSeen, judge_brokers
from imagelane.ops.doctor.core.findings import Report
from imagelane.ops.doctor.core.groups import GROUPS, GroupSeen, judge_groups
from imagelane.ops.doctor.core.topics import PartitionSeen, TopicsSeen, judge_topics
from imagelane.platform.groups import admin_client, client_properties
from imagelane.platform.lag import LagReader, LagUnknownError
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 5.0
TRACKER: Final = "tracker"
_offered: Final = re.compile(r"ApiKey .* \((\d+)\) Versions \d+\.\.(\d+)$").search


def look_at_brokers(settings: KafkaSettings) -> Report:
    """Each bootstrap server by itself: one that is away is hidden by the others otherwise."""
    addresses = [one.strip() for one in settings.bootstrap_servers.split(",") if one.strip()]
    with ThreadPoolExecutor(len(addresses)) as pool:
        seen = list(pool.map(lambda address: _ask(settings, address), addresses))
    return judge_brokers(seen, new_groups=settings.group_protocol == "consumer")


def _ask(settings: KafkaSettings, address: str) -> BrokerSeen:
    heard = _Heard()
    logger = logging.Logger("imagelane.doctor")  # noqa: LOG001 - for this client, and nobody else
    logger.addHandler(heard)
    troubles: list[KafkaError] = []
    properties = {
        **client_properties(settings),
        "bootstrap.servers": address,
        "debug": "feature",  # the only way in which the client tells what a broker is able to
        "log_level": 7,
    }
    try:
        admin = AdminClient(properties, error_cb=troubles.append, logger=logger)
    except KafkaException as error:
        return BrokerSeen(address, error.args[0].name(), error.args[0].str())
    try:
        cluster = admin.list_topics(timeout=ANSWER_SECONDS)
    except KafkaException as error:
        admin.poll(0)  # hands over the troubles, of which the first one tells the most
        telling = [one for one in troubles if one.code() != KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001 - the client's own name for a constant
        worst = [*telling, error.args[0]][0]
        return BrokerSeen(address, worst.name(), worst.str())
    admin.poll(0)
    names = tuple(f"{one.host}:{one.port}" for one in cluster.brokers.values())
    return BrokerSeen(
        address,
        cluster_id=str(cluster.cluster_id),
        brokers=names,
        versions=heard.versions or None,
    )


class _Heard(logging.Handler):
    """Keeps which requests a broker takes, of all that the client logs."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[int, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the client, while it is polled."""
        if found := _offered(record.getMessage()):
            self.versions[int(found[1])] = int(found[2])


def look_at_topics(settings: KafkaSettings, deployment_id: str, login: str) -> Report:
    """Compares them with files, settings and record, as far as the login may see them.

    Raises `TopicsError` and `KafkaException`.
    """
    files = read_topic_files(schemas_folder()).values()
    visible = visible_topics(login, files)
    if not visible:
        return Report(skipped=f"{login!r} may not see how the topics were made: look as `ops`")
    deployment = topics.look(settings, deployment_id, visible)
    differences = [(one.topic, one.what) for one in topics.all_differences(deployment)]
    names = [settings.topic(name) for name in deployment.found]
    partitions = list(_partitions(deployment.admin, names)) if names else []
    whose = deployment.record.deployment_id if deployment.record else ""
    unseen = len(files) - len(visible)
    return judge_topics(TopicsSeen(differences, partitions, whose, settings.topic_prefix, unseen))


def _partitions(admin: AdminClient, names: list[str]) -> Iterator[PartitionSeen]:
    answers = admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_SECONDS)
    for name, answer in answers.items():
        for one in answer.result().partitions:
            has_leader = one.leader is not None and one.leader.id >= 0
            yield PartitionSeen(name, one.id, has_leader, len(one.replicas), len(one.isr))


def look_at_access(settings: KafkaSettings, login: str) -> Report:
    """What the broker says that this login may do. Raises `KafkaException`."""
    files = read_topic_files(schemas_folder())
    names = {settings.topic(name): name for name in files}
    admin = admin_client(settings)  # kept: its answers die with it
    answers = admin.describe_topics(
        TopicCollection(list(names)),
        include_authorized_operations=True,
        request_timeout=ANSWER_SECONDS,
    )
    allowed = {names[full]: found for full, one in answers.items() for found in _allowed(one)}
    limits = not all(one is not None and one >= EVERYTHING for one in allowed.values())
    return judge_access(
        AccessSeen(allowed, limits),
        list(files.values()),
        service=login,
        prefix=settings.topic_prefix,
    )


def _allowed(answer: Any) -> Iterator[frozenset[str] | None]:
    """Nothing for a topic that is not there, which is another check's affair."""
    try:
        operations = answer.result().authorized_operations
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            yield None
        elif code != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise
    else:
        yield frozenset(one.name for one in operations or ())


def look_at_groups(settings: KafkaSettings, login: str, *, trackers: bool) -> Report:
    """Who is in those that the login may ask for, and what waits. Raises `KafkaException`.

    `trackers`: whether they share partitions by a group, as on PostgreSQL. They commit nothing to
    Kafka, so what waits for them is told of their database.
    """
    every = [*GROUPS, *([TRACKER] if trackers else [])]
    visible = visible_groups(login, every)
    if not visible:
        return Report(skipped=f"{login!r} is in no group and may ask for none: look as `ops`")
    members = ConsumerGroups(admin_client(settings), settings).members()
    seen = asyncio.run(_groups(settings, members, visible))
    if TRACKER in visible:
        group = settings.group(TRACKER)
        seen.append(GroupSeen(group, members.get(group, 0), None))
    return judge_groups(seen, unseen=len(every) - len(visible))


async def _groups(
    settings: KafkaSettings, members: dict[str, int], visible: Collection[str]
) -> list[GroupSeen]:
    lag = LagReader(settings)
    seen = []
    for service, its_topics in GROUPS.items():
        if service not in visible:
            continue
        group = settings.group(service)
        unread = await _unread(lag, service, its_topics)
        seen.append(GroupSeen(group, members.get(group, 0), unread))
    return seen


async def _unread(lag: LagReader, service: str, its_topics: tuple[str, ...]) -> int | None:
    try:
        found = await asyncio.gather(*(lag.unread(service, one) for one in its_topics))
    except LagUnknownError:
        return None
    return sum(sum(one.values()) for one in found)
