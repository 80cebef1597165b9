"""The broker of a stack on this machine: open to everybody here, or secured with a principal for each service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops.access import OPERATOR, SCALER, principals
from imagelane.ops.access_lists import AccessLists
from imagelane.ops.broker import BrokerSetupError, EmbeddedBroker, broker_home
from imagelane.ops.broker.jars import BrokerHome
from imagelane.ops.broker.secured import (
    BrokerSecurity,
    make_certificate,
    secret_in,
    write_properties,
)
from imagelane.ops.local_stack import LocalOptions
from imagelane.ops.supervisor import Program, Say, Supervisor
from imagelane.platform.groups import admin_client
from imagelane.platform.kafka_security import SecuritySettings
from imagelane.platform.settings import KafkaSettings

NAME: Final = "kafka"
CERTIFICATES: Final = "kafka-tls"
ADMIN: Final = "admin"
"""Makes the others and their access lists, and does nothing else."""
ITERATIONS: Final = 4_096
ANSWER_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0


async def start_broker(
    options: LocalOptions, supervisor: Supervisor, tell: Say
) -> tuple[EmbeddedBroker, KafkaSettings]:
    """A broker that answers, and what the command line needs for it. Raises `BrokerSetupError`.

    Secured, it has a user for each service, whose access list follows from the topic files.
    """
    data = options.data.absolute()
    _require_same_security(options, data)
    home = await asyncio.to_thread(broker_home, options.cache, lambda text: tell(NAME, text))
    security = None
    if options.kafka_security == "scram":
        security = await asyncio.to_thread(_security, home, data)
    broker = EmbeddedBroker(
        home,
        data / "kafka",
        port=options.kafka_port,
        proxied=options.kafka_proxied,
        security=security,
    )
    await asyncio.to_thread(broker.prepare)
    supervisor.start(Program(NAME, tuple(broker.command), stop_seconds=STOP_SECONDS))
    await asyncio.to_thread(broker.wait_ready)
    tell(NAME, f"Apache Kafka answers at {broker.bootstrap_servers}")
    kafka = KafkaSettings(
        bootstrap_servers=broker.bootstrap_servers,
        strict_partitions=options.strict_partitions,
        spread_partitions=options.strict_partitions,
    )
    if security is None:
        return broker, kafka
    kafka = kafka.model_copy(update={"security": security.operator})
    users = await asyncio.to_thread(admit_services, kafka, data / "secrets")
    tell(NAME, f"TLS, passwords and access lists for {', '.join(users)}")
    return broker, acting_as(kafka, OPERATOR)


def admit_services(admin: KafkaSettings, passwords: Path) -> list[str]:
    """Gives every service its password and its access list, as often as one likes; returns the services.

    Raises `BrokerSetupError` and `AccessError`.
    """
    topics = read_topic_files(schemas_folder()).values()
    services = [one for one in principals(topics) if one != SCALER]
    users: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(
            user_of(service),
            ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS),
            secret_in(passwords / password_name(service)).encode(),
        )
        for service in services
    ]
    try:
        client = admin_client(admin)  # kept: its answers die with it
        answers = client.alter_user_scram_credentials(users)
        for answer in answers.values():
            answer.result(ANSWER_SECONDS)
    except KafkaException as error:
        raise BrokerSetupError(f"the broker's users: {error.args[0].str()}") from error
    AccessLists(admin).apply()
    return services


def acting_as(kafka: KafkaSettings, service: str) -> KafkaSettings:
    """The same broker for another one of its users; a broker in plaintext knows none."""
    security = kafka.security
    if security.password_file is None:
        return kafka
    own = security.model_copy(
        update={
            "username": user_of(service),
            "password_file": security.password_file.with_name(password_name(service)),
        }
    )
    return kafka.model_copy(update={"security": own})


def environment_for(kafka: KafkaSettings, service: str) -> dict[str, str]:
    """What a service is told of the broker's security; nothing of one in plaintext."""
    security = acting_as(kafka, service).security
    parts = security.model_dump(mode="json", exclude_defaults=True)
    return {f"IMAGELANE_KAFKA__SECURITY__{name.upper()}": str(at) for name, at in parts.items()}


def kcat(kafka: KafkaSettings, folder: Path) -> str:
    """How a person calls kcat. What it needs of the broker's security lies in `folder`, for its owner only."""
    properties = kafka.security.librdkafka_properties()
    if not properties:
        return f"kcat -b {kafka.bootstrap_servers}"
    file = folder / "kcat.properties"
    write_properties(file, properties)
    return f"kcat -F {file} -b {kafka.bootstrap_servers}"


def user_of(service: str) -> str:
    """The broker's name for a service."""
    return f"imagelane-{service}"


def password_name(service: str) -> str:
    """The name of the file with a service's password."""
    return f"kafka-{service}"


def _require_same_security(options: LocalOptions, data: Path) -> None:
    """Raises `BrokerSetupError` for the folder of a broker that was made in the other way."""
    made_as = "scram" if (data / CERTIFICATES).exists() else "plaintext"
    made = (data / "kafka" / "log" / "meta.properties").exists()
    if made and made_as != options.kafka_security:
        raise BrokerSetupError(
            f"the broker in {data / 'kafka'} was made with --kafka-security {made_as}:"
            " say so, or choose another data folder"
        )


def _security(home: BrokerHome, data: Path) -> BrokerSecurity:
    passwords = data / "secrets"
    certificate = make_certificate(home, data / CERTIFICATES)
    secret_in(passwords / password_name(ADMIN))
    operator = SecuritySettings(
        protocol="sasl_ssl",
        ca_file=certificate.pem,
        username=user_of(ADMIN),
        password_file=passwords / password_name(ADMIN),
    )
    return BrokerSecurity(certificate, operator, user_of(ADMIN))
