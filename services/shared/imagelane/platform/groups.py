"""Consumer groups: the client's properties, the group's own configuration, and the check at start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from imagelane.platform.settings import KafkaSettings
from imagelane.platform.troubles import Troubles

Property = str | int | float | bool

CONSUMER_DEFAULTS: Final[dict[str, Property]] = {
    "topic.metadata.refresh.interval.ms": 5_000,
    # Read ahead by little and often: the look-ahead that counts is ours, across customers.
    "queued.min.messages": 2_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.message.max.bytes": 131_072,
    # Partitions that join wait for the fetch under way to end; but each costs the broker a millisecond.
    "fetch.wait.max.ms": 500,
    "fetch.queue.backoff.ms": 50,  # the default of a second starves at 4,000 records a second
}
GUARANTEES: Final[dict[str, Property]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}
ONLY_CRITICAL: Final = (
    2  # librdkafka writes up to 20 lines a second to stderr while a broker is away
)
PASSING: Final = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_MAX_POLL_EXCEEDED",
        "_TIMED_OUT",
        "_TRANSPORT",
        "_WAIT_COORD",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
    }
)
"""Errors that the client gets over by itself, though it does not call them retriable."""
AWAITING_LEADER: Final = frozenset(
    {
        "LEADER_NOT_AVAILABLE",
        "NOT_LEADER_FOR_PARTITION",
        "UNKNOWN_LEADER_EPOCH",  # of a broker that has just come back
        "FENCED_LEADER_EPOCH",
    }
)
SECURITY: Final = "IMAGELANE_KAFKA__SECURITY__"
BLAMED: Final = {
    "_AUTHENTICATION": f"{SECURITY}USERNAME and {SECURITY}PASSWORD_FILE",
    "_SSL": f"{SECURITY}CA_FILE, {SECURITY}CERTIFICATE_FILE and IMAGELANE_KAFKA__BOOTSTRAP_SERVERS,"
    " whose names the broker's certificate must have",
}
BLAMED_OTHERWISE: Final = (
    f"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS, {SECURITY}PROTOCOL or IMAGELANE_KAFKA__CLIENT"
)
"""Which settings an error at start speaks of."""
REACH_SECONDS: Final = 15.0
CONFIGURE_SECONDS: Final = 5.0
CONFIGURED_POLL_SECONDS: Final = 0.02
HEARTBEATS_PER_SESSION: Final = 10


class KafkaStartError(Exception):
    """The broker or a topic is not there; the message says what to do."""


def passes(error: KafkaError) -> bool:
    """Whether the client gets over the error by itself."""
    return not error.fatal() and (error.retriable() or error.name() in PASSING)


def awaits_leader(error: KafkaError) -> bool:
    """Whether a partition only waits for its leader, or the client for the leader's new epoch."""
    return error.name() in AWAITING_LEADER


def client_properties(settings: KafkaSettings) -> dict[str, Property]:
    """What every client of the deployment needs to reach the broker."""
    return {
        "log_level": ONLY_CRITICAL,
        **settings.client,
        **settings.security.librdkafka_properties(),
        "bootstrap.servers": settings.bootstrap_servers,
    }


def admin_client(settings: KafkaSettings) -> AdminClient:
    """An admin client whose complaints go to the log. Raises `KafkaException` for wrong properties."""
    troubles = Troubles(structlog.get_logger("imagelane.admin"))
    return AdminClient(client_properties(settings), error_cb=troubles)


def consumer_properties(settings: KafkaSettings, service: str) -> dict[str, Property]:
    """The properties of a member of the service's group, under either group protocol."""
    session_ms = round(settings.session_timeout_seconds * 1_000)
    by_protocol: dict[str, dict[str, Property]] = {
        "consumer": {"group.protocol": "consumer"},  # the session is the group's: configure_group
        "classic": {
            "group.protocol": "classic",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": session_ms // HEARTBEATS_PER_SESSION,
        },
    }
    return {
        "client.id": f"imagelane-{service}",
        **CONSUMER_DEFAULTS,
        **client_properties(settings),
        **by_protocol[settings.group_protocol],
        **GUARANTEES,
        "group.id": settings.group(service),
    }


def connect(admin: AdminClient) -> None:
    """Blocks until a new client knows the broker, for 15 seconds at most. Raises `KafkaException`.

    What is asked of it afterwards has the patience of an answer, not of a connection: one answer of a name server
    that is lost on a busy node is asked for again after five seconds.
    """
    admin.list_topics(timeout=REACH_SECONDS)


def require_topics(settings: KafkaSettings, topics: Sequence[str]) -> None:
    """Blocks until the broker has answered that all the topics exist, for 15 seconds at most.

    Raises `KafkaStartError` that names the servers, the wrong property or the first missing topic.
    """
    troubles: list[KafkaError] = []
    try:
        admin = AdminClient(client_properties(settings), error_cb=troubles.append)
    except KafkaException as error:
        raise KafkaStartError(f"IMAGELANE_KAFKA__CLIENT: {error.args[0].str()}") from None
    try:
        present = admin.list_topics(timeout=REACH_SECONDS).topics
    except KafkaException as error:
        admin.poll(0)  # hands over the troubles, of which the first one tells the most
        why = [*troubles, error.args[0]][0]
        raise KafkaStartError(
            f"no Kafka broker answers at {settings.bootstrap_servers} ({why.str()}): start it, or "
            f"correct {BLAMED.get(why.name(), BLAMED_OTHERWISE)}"
        ) from None
    unseen = "" if not settings.security.secures else ", or this client may not see it"
    for topic in map(settings.topic, topics):
        if topic not in present:
            raise KafkaStartError(
                f"the topic {topic} does not exist on {settings.bootstrap_servers}{unseen}: "
                "make the topics with `imagelane topics apply`"
                + (", the access lists with `imagelane topics access --apply`" if unseen else "")
            )


def configure_group(settings: KafkaSettings, service: str) -> None:
    """Sets the timing of the service's group on the broker, where KIP-848 keeps it.

    A broker that does not allow it keeps its own: members that die are noticed later, and joins
    take seconds longer; nothing else changes, so it is only logged.
    """
    session_ms = round(settings.session_timeout_seconds * 1_000)
    timing = {
        "consumer.session.timeout.ms": str(session_ms),
        "consumer.heartbeat.interval.ms": str(session_ms // HEARTBEATS_PER_SESSION),
    }
    at_once = {"consumer.assignment.interval.ms": "0"}  # from Kafka 4.3 on; a second otherwise
    name = settings.group(service)
    admin = admin_client(settings)
    try:
        for wanted in (timing, at_once):
            if not _has_configs(admin, name, wanted):
                _set_configs(admin, name, wanted)
    except KafkaException as error:
        structlog.get_logger("imagelane.groups").warning(
            "group.not_configured", group=name, error=error.args[0].str()
        )


def _has_configs(admin: AdminClient, group: str, wanted: dict[str, str]) -> bool:
    resource = ConfigResource(ResourceType.GROUP, group)
    answers = admin.describe_configs([resource], request_timeout=CONFIGURE_SECONDS)
    configs = answers[resource].result()
    return all(name in configs and configs[name].value == wanted[name] for name in wanted)


def _set_configs(admin: AdminClient, group: str, wanted: dict[str, str]) -> None:
    """Waits until the broker knows them itself: a member that joins before has the old timing."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in wanted.items()
    ]
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=entries)
    answers = admin.incremental_alter_configs([resource], request_timeout=CONFIGURE_SECONDS)
    answers[resource].result()
    deadline = time.monotonic() + CONFIGURE_SECONDS
    while not _has_configs(admin, group, wanted) and time.monotonic() < deadline:
        time.sleep(CONFIGURED_POLL_SECONDS)
