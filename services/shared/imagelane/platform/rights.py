"""Whether the broker lets a service do with its topics what it is there for: asked once, at start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from imagelane.platform.groups import KafkaStartError
from imagelane.platform.settings import KafkaSettings

ANSWER_SECONDS: Final = 5.0


def require_rights(
    admin: AdminClient, settings: KafkaSettings, wanted: Mapping[str, Sequence[str]]
) -> None:
    """Raises `KafkaStartError` that names every right which is missing, and `KafkaException`."""
    missing = missing_rights(admin, settings, wanted)
    if missing:
        named = ", ".join(f"{right} {settings.topic(name)}" for right, name in sorted(missing))
        raise KafkaStartError(
            f"{_who(settings)} may not {named} on {settings.bootstrap_servers}:"
            " compare the access lists with `imagelane topics access`"
        )


def missing_rights(
    admin: AdminClient, settings: KafkaSettings, wanted: Mapping[str, Sequence[str]]
) -> set[tuple[str, str]]:
    """Which of `READ` and `WRITE` are wanted of topics and not allowed: one request for all of them.

    Nothing with a broker that has no access lists. Raises `KafkaException`.
    """
    logical = {settings.topic(name): name for name in wanted}
    answers = admin.describe_topics(
        TopicCollection(list(logical)),
        include_authorized_operations=True,
        request_timeout=ANSWER_SECONDS,
    )
    missing = set()
    for full, answer in answers.items():
        try:
            allowed = {one.name for one in answer.result().authorized_operations or ()}
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise
            allowed = set()
        name = logical[full]
        missing |= {(right, name) for right in wanted[name] if right not in allowed}
    return missing


def _who(settings: KafkaSettings) -> str:
    security = settings.security
    if security.username is not None:
        return security.username
    if security.certificate_file is not None:
        return f"the principal of {security.certificate_file}"
    return "the anonymous principal"
