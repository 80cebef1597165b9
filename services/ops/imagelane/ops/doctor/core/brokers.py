"""What is made of the answers of the bootstrap servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from imagelane.ops.doctor.core.findings import Finding, Report

SERVERS: Final = "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS"
SECURITY: Final = "IMAGELANE_KAFKA__SECURITY__…"
NEW_GROUPS: Final = (68, 1)
"""`ConsumerGroupHeartbeat`, version 1: KIP-848 as Kafka 4.0 finished it."""
NEW_TRANSACTIONS: Final = (28, 5)
"""`TxnOffsetCommit`, version 5: transactions with an epoch of their own each (KIP-890), Kafka 4.0."""

STEPS: Final[Mapping[str, str]] = {
    "_RESOLVE": f"correct the name in {SERVERS}, or the DNS that this machine asks",
    "_AUTHENTICATION": f"the broker refuses the login: correct user, password or mechanism, {SECURITY}",
    "SASL_AUTHENTICATION_FAILED": f"the broker refuses the login: correct user, password or mechanism, {SECURITY}",
    "_SSL": "TLS does not come about: the certificate authority's file, the certificate's names and dates,"
    f" or a broker that speaks plaintext here; {SECURITY}",
    "_INVALID_ARG": f"a property is wrong: {SECURITY}",
}
UNREACHED: Final = (
    f"start the broker, correct {SERVERS}, or open the way to it (firewall, network policy)"
)


@dataclass(frozen=True, slots=True)
class BrokerSeen:
    """One bootstrap server. `error` is empty if it answered, else the client's words and `error_name` its code."""

    address: str
    error_name: str = ""
    error: str = ""
    cluster_id: str = ""
    brokers: tuple[str, ...] = ()
    versions: Mapping[int, int] | None = None
    """The highest version of each kind of request that it takes; None if the client did not say."""


def judge_brokers(seen: Sequence[BrokerSeen], *, new_groups: bool) -> Report:
    """`new_groups`: whether the settings want KIP-848."""
    facts = [
        f"{one.address} answers: cluster {one.cluster_id}, {len(one.brokers)} brokers, {_age(one)}"
        for one in seen
        if not one.error
    ]
    findings = [*_silent(seen), *_divided(seen)]
    for one in seen:
        if one.versions is not None:
            findings += _too_old(one, one.versions, new_groups=new_groups)
    return Report(tuple(facts), tuple(findings))


def _silent(seen: Sequence[BrokerSeen]) -> Iterator[Finding]:
    for one in seen:
        if one.error:
            step = STEPS.get(one.error_name, UNREACHED)
            yield Finding(one.address, f"does not answer ({one.error})", step)


def _divided(seen: Sequence[BrokerSeen]) -> Iterator[Finding]:
    clusters = sorted({one.cluster_id for one in seen if one.cluster_id})
    if len(clusters) > 1:
        yield Finding(
            SERVERS,
            f"names brokers of different clusters: {', '.join(clusters)}",
            "name brokers of one cluster only: records would be divided among them",
        )


def _too_old(
    broker: BrokerSeen, versions: Mapping[int, int], *, new_groups: bool
) -> Iterator[Finding]:
    if new_groups and not _takes(versions, NEW_GROUPS):
        yield Finding(
            broker.address,
            "does not know the group protocol `consumer`",
            "use Kafka 4.0 or newer, or set IMAGELANE_KAFKA__GROUP_PROTOCOL=classic",
        )
    if not _takes(versions, NEW_TRANSACTIONS):
        yield Finding(
            broker.address,
            "is older than Kafka 4.0: its transactions may be torn by late messages (KIP-890)",
            "use Kafka 4.0 or newer: the dispatcher's fence stands on it",
        )


def _takes(versions: Mapping[int, int], wanted: tuple[int, int]) -> bool:
    kind, version = wanted
    return versions.get(kind, -1) >= version


def _age(broker: BrokerSeen) -> str:
    if broker.versions is None:
        return "its version is not known"
    return "Kafka 4.0 or newer" if _takes(broker.versions, NEW_TRANSACTIONS) else "an older Kafka"
