"""Access lists on a broker: compared with what follows from the topic files, and made so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops.access import Rule, principals, rules_of
from imagelane.platform.groups import admin_client
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 30.0
AUTHORIZER: Final = "authorizer.class.name"
NO_AUTHORIZER: Final = (
    f"the broker has no authorizer, so everybody may do everything: set {AUTHORIZER}"
)
PRINCIPALS: Final = "User:imagelane-{service}"
KINDS: Final = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactionalId": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,  # what librdkafka calls the cluster
}
OPERATIONS: Final = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "All": AclOperation.ALL,
}


class AccessError(Exception):
    """The broker has no access lists, or does not let us at them; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One line of a broker's access lists. `name` is the broker's, with the deployment's prefix."""

    principal: str
    kind: str
    name: str
    operation: str
    prefixed: bool = False
    host: str = "*"
    denied: bool = False

    def __str__(self) -> str:
        """As a person would say it."""
        verb = "may not" if self.denied else "may"
        where = "" if self.host == "*" else f" from {self.host}"
        star = "*" * self.prefixed
        return f"{self.principal} {verb} {self.operation} {self.kind} {self.name}{star}{where}"


@dataclass(frozen=True, slots=True)
class AccessDifference:
    """What a broker's lists lack, and what they say too much. Both sorted."""

    missing: tuple[Entry, ...]
    too_much: tuple[Entry, ...]

    def lines(self) -> Iterator[str]:
        """One for each entry."""
        yield from (f"missing: {one}" for one in self.missing)
        yield from (f"too much: {one}" for one in self.too_much)


class AccessLists:
    """The lists of a deployment's principals, on its broker.

    `pattern` makes a principal of a service's name. Every method raises `AccessError`.
    """

    def __init__(self, settings: KafkaSettings, pattern: str = PRINCIPALS) -> None:
        self._settings = settings
        self._pattern = pattern
        self._topics = list(read_topic_files(schemas_folder()).values())

    def wanted(self) -> set[Entry]:
        """What follows from the topic files."""
        return {
            entry
            for service in principals(self._topics)
            for rule in rules_of(service, self._topics)
            for entry in self._entries(service, rule)
        }

    def compare(self) -> AccessDifference:
        """How the broker's lists differ, for the deployment's principals; others' are not looked at."""
        return self._compare(admin_client(self._settings))

    def apply(self) -> AccessDifference:
        """Adds what is missing, then takes away what is too much. What it did; twice is as good as once."""
        admin = admin_client(self._settings)
        found = self._compare(admin)
        if found.missing:
            _all_done(admin.create_acls([_binding(one) for one in found.missing]))
        if found.too_much:
            _all_done(admin.delete_acls([_filter_of(one) for one in found.too_much]))
        return found

    def _compare(self, admin: AdminClient) -> AccessDifference:
        wanted, found = self.wanted(), self._found(admin)
        return AccessDifference(tuple(sorted(wanted - found)), tuple(sorted(found - wanted)))

    def _found(self, admin: AdminClient) -> set[Entry]:
        ours = {self._pattern.format(service=one) for one in principals(self._topics)}
        try:
            answer = admin.describe_acls(ANYTHING, request_timeout=ANSWER_SECONDS)
            bindings: list[AclBinding] = answer.result(ANSWER_SECONDS)
            if not bindings:
                _require_sight(admin)
        except KafkaException as error:
            raise AccessError(_explained(error)) from error
        return {_entry(one) for one in bindings if one.principal in ours}

    def _entries(self, service: str, rule: Rule) -> Iterator[Entry]:
        prefix = "" if rule.kind == "cluster" else self._settings.topic_prefix
        for operation in rule.operations:
            yield Entry(
                principal=self._pattern.format(service=service),
                kind=rule.kind,
                name=prefix + rule.name,
                operation=operation,
                prefixed=rule.prefix,
            )


ANY_NAME: Final[Any] = None  # the client's stubs want text
ANYTHING: Final = AclBindingFilter(
    ResourceType.ANY,
    ANY_NAME,
    ResourcePatternType.ANY,
    ANY_NAME,
    ANY_NAME,
    AclOperation.ANY,
    AclPermissionType.ANY,
)


def _binding(entry: Entry) -> AclBinding:
    return AclBinding(*_parts(entry))


def _filter_of(entry: Entry) -> AclBindingFilter:
    return AclBindingFilter(*_parts(entry))


def _parts(entry: Entry) -> tuple[Any, ...]:
    return (
        KINDS.get(entry.kind) or ResourceType[entry.kind],
        "kafka-cluster" if entry.kind == "cluster" else entry.name,
        ResourcePatternType.PREFIXED if entry.prefixed else ResourcePatternType.LITERAL,
        entry.principal,
        entry.host,
        OPERATIONS.get(entry.operation) or AclOperation[entry.operation],
        AclPermissionType.DENY if entry.denied else AclPermissionType.ALLOW,
    )


def _entry(binding: AclBinding) -> Entry:
    kinds = {value: name for name, value in KINDS.items()}
    operations = {value: name for name, value in OPERATIONS.items()}
    kind, operation = ResourceType(binding.restype), AclOperation(binding.operation)
    return Entry(
        principal=binding.principal,
        kind=kinds.get(kind, kind.name),
        name=binding.name,
        operation=operations.get(operation, operation.name),
        prefixed=binding.resource_pattern_type == ResourcePatternType.PREFIXED,
        host=binding.host,
        denied=binding.permission_type == AclPermissionType.DENY,
    )


def _all_done(answers: dict[Any, Future[Any]]) -> None:
    for answer in answers.values():
        try:
            answer.result(ANSWER_SECONDS)
        except KafkaException as error:
            raise AccessError(_explained(error)) from error


def _require_sight(admin: AdminClient) -> None:
    """Raises `AccessError` where there is nothing to see: of both causes the client says nothing (librdkafka 2.16)."""
    asked = admin.describe_cluster(
        include_authorized_operations=True, request_timeout=ANSWER_SECONDS
    )
    cluster = asked.result(ANSWER_SECONDS)
    if AclOperation.DESCRIBE not in (cluster.authorized_operations or ()):
        raise AccessError("access lists are seen by who may Describe the cluster: the login `ops`")
    broker = ConfigResource(ResourceType.BROKER, str(cluster.nodes[0].id))
    configs = admin.describe_configs([broker], request_timeout=ANSWER_SECONDS)
    if not configs[broker].result(ANSWER_SECONDS)[AUTHORIZER].value:
        raise AccessError(NO_AUTHORIZER)


def _explained(error: KafkaException) -> str:
    code = error.args[0].code()
    if code == KafkaError.SECURITY_DISABLED:
        return NO_AUTHORIZER
    if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return "access lists are the affair of a principal that may Alter the cluster, or of a super user"
    return f"the broker's access lists: {error.args[0].str()}"


def shown(entries: Iterable[Entry]) -> Iterator[str]:
    """A line for each principal and resource, with all that it may do there."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for one in sorted(entries):
        place = (one.principal, one.kind, one.name + "*" * one.prefixed)
        together.setdefault(place, []).append(one.operation)
    for (principal, kind, name), operations in together.items():
        yield f"{principal:28} {kind:16} {name:40} {', '.join(operations)}"
