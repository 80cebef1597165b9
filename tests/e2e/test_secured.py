"""A secured broker: a job's whole road with a principal for each service, and who is refused what."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, Road
from tests.hostile.certificates import Authority

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.contracts.topics import CALLS, TOPOLOGY, URLS
from imagelane.ops import local_kafka
from imagelane.ops.access import OPERATOR, SCALER, principals
from imagelane.ops.access_lists import AccessError, AccessLists
from imagelane.platform.groups import admin_client, client_properties, consumer_properties
from imagelane.platform.rights import missing_rights
from imagelane.platform.settings import KafkaSettings

pytestmark = ON_THE_ROAD

TOPICS: Final = read_topic_files(schemas_folder())
SERVICES: Final = sorted({*principals(TOPICS.values())} - {OPERATOR, SCALER})
CHANGELOG: Final = "imagelane-batcher-lanes-changelog"
STRANGERS: Final = "User:stranger-{service}"
OTHERS: Final = "User:other-{service}"
REFUSED: Final = "TOPIC_AUTHORIZATION_FAILED"
ANSWER_SECONDS: Final = 60.0
START_SECONDS: Final = 120.0

each_service = pytest.mark.parametrize("service", SERVICES)


def may_write(service: str) -> set[str]:
    return {name for name, topic in TOPICS.items() if service in topic.producers}


def may_read(service: str) -> set[str]:
    return {TOPOLOGY} | {name for name, topic in TOPICS.items() if service in topic.consumers}


async def test_a_job_travels_the_whole_road_with_a_principal_for_each_service(
    secured: Road, images: Images
) -> None:
    job = await secured.submit("locked", urls=[*images.urls(120), "not a URL", "http://10.0.0.1/x"])
    await secured.finished(job)
    outcomes = prove(secured, job)
    assert (len(outcomes[job].ok), len(outcomes[job].failed)) == (120, 2)
    assert set(secured.stack.supervisor.starts.values()) == {1}, secured.state()


@each_service
async def test_a_service_may_write_to_what_it_produces_and_nothing_else(
    secured: Road, service: str
) -> None:
    kafka = local_kafka.acting_as(secured.stack.kafka, service)
    strange = sorted(TOPICS.keys() - may_write(service))
    assert await asyncio.to_thread(_written, kafka, strange) == dict.fromkeys(strange, REFUSED)
    assert await asyncio.to_thread(_not_allowed, kafka, "WRITE") == set(strange)


@each_service
async def test_a_service_may_read_what_it_consumes_and_nothing_else(
    secured: Road, service: str
) -> None:
    kafka = local_kafka.acting_as(secured.stack.kafka, service)
    strange = sorted(TOPICS.keys() - may_read(service))
    assert await asyncio.to_thread(_read, kafka, strange) == dict.fromkeys(strange, REFUSED)
    assert await asyncio.to_thread(_not_allowed, kafka, "READ") == set(strange)


@pytest.mark.parametrize(("log", "owner"), [(CALLS, "dispatcher"), (CHANGELOG, "batcher")])
async def test_a_log_has_one_writer(secured: Road, log: str, owner: str) -> None:
    kafkas = {one: local_kafka.acting_as(secured.stack.kafka, one) for one in SERVICES}
    refused = {
        service: await asyncio.to_thread(_written, kafka, [log])
        for service, kafka in kafkas.items()
        if service != owner
    }
    assert refused == {one: {log: REFUSED} for one in SERVICES if one != owner}
    assert log not in await asyncio.to_thread(_not_allowed, kafkas[owner], "WRITE")


async def test_nobody_takes_the_dispatchers_transactional_id(secured: Road) -> None:
    kafka = local_kafka.acting_as(secured.stack.kafka, "downloader")
    properties = client_properties(kafka) | {"transactional.id": kafka.group("dispatcher-x")}
    with pytest.raises(KafkaException, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
        await asyncio.to_thread(Producer(properties).init_transactions, ANSWER_SECONDS)


async def test_nobody_joins_another_services_group(secured: Road) -> None:
    kafka = local_kafka.acting_as(secured.stack.kafka, "tracker")
    found = await asyncio.to_thread(_joined, kafka, "downloader", "requested")
    assert found == "GROUP_AUTHORIZATION_FAILED"


async def test_the_access_lists_are_those_of_the_topic_files(secured: Road) -> None:
    found = AccessLists(secured.stack.kafka).compare()
    assert (found.missing, found.too_much) == ((), ())


async def test_only_the_administrator_changes_access_lists(secured: Road) -> None:
    kafka = secured.stack.kafka
    with pytest.raises(AccessError, match="may Alter the cluster"):
        await asyncio.to_thread(AccessLists(kafka, STRANGERS).apply)
    admin = local_kafka.acting_as(kafka, local_kafka.ADMIN)
    assert (await asyncio.to_thread(AccessLists(admin, STRANGERS).apply)).missing
    assert AccessLists(admin, STRANGERS).compare().missing == ()


async def test_the_command_line_needs_no_more_than_its_access_list(secured: Road) -> None:
    kafka = secured.stack.kafka
    assert await asyncio.to_thread(_written, kafka, [URLS]) == {URLS: "written"}
    await secured.until("the letter", lambda: secured.records.dead_letters)
    for command in (
        ("topics", "check"),
        ("topics", "access"),
        ("keys", "create", "--operator", "--name", "second"),
        ("keys", "list"),
        ("lanes", "--all", "--kafka"),
        ("dlq", "replay", "--topic", URLS, "--anyway", "--yes"),
        ("dlq", "drop", "--topic", URLS, "--yes"),
        ("cancel", "--customer", "locked", "--kafka", "--yes"),
    ):
        code, said = await _commanded(kafka, command)
        assert code == 0, f"{command}: {said}"
    code, said = await _commanded(kafka, ("topics", "access", "--apply", "--principals", OTHERS))
    assert (code, "may Alter the cluster" in said) == (1, True)


async def test_a_services_own_login_is_told_what_it_may_not_do(secured: Road) -> None:
    looks = ("--only", "topics", "--only", "access", "--only", "groups")
    for service in ("intake", "notifier"):
        looking = ("doctor", "--as", service, *looks)
        code, said = await _commanded(secured.stack.kafka, looking, service)
        assert (code, "good" in said) == (0, True), said
    for command, words in (
        (("topics", "access"), "may Describe the cluster"),
        (("topics", "check"), "commands go with the login `ops`"),
    ):
        code, said = await _commanded(secured.stack.kafka, command, "notifier")
        assert (code, words in said) == (1, True), said


async def _commanded(
    kafka: KafkaSettings, command: tuple[str, ...], service: str = OPERATOR
) -> tuple[int | None, str]:
    environment = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        **local_kafka.environment_for(kafka, service),
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("imagelane")),
        *command,
        env={**os.environ, **environment},  # noqa: TID251 - the command inherits ours
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@dataclass(frozen=True)
class Wrong:
    """One thing that is not as it should be, and what the service says of it."""

    environment: dict[str, str]
    said: str
    code: int = 1


SECURITY: Final = "IMAGELANE_KAFKA__SECURITY__"


def _wrong_settings(road: Road, folder: Path, elsewhere: int) -> dict[str, Wrong]:
    """`elsewhere` is the port of a server that shows a certificate for `localhost`, and not for its address."""
    kafka = road.stack.kafka
    assert kafka.security.password_file is not None
    passwords = kafka.security.password_file.parent
    (folder / "wrong-password").write_text("not the password")
    return {
        "a wrong password": Wrong(
            {f"{SECURITY}PASSWORD_FILE": str(folder / "wrong-password")},
            rf"{kafka.bootstrap_servers}.*authentication.*{SECURITY}PASSWORD_FILE",
        ),
        "nobody's name": Wrong(
            {f"{SECURITY}USERNAME": "imagelane-nobody"}, f"authentication.*{SECURITY}USERNAME"
        ),
        "another authority": Wrong(
            {f"{SECURITY}CA_FILE": str(folder / "authority.pem")}, f"certificate.*{SECURITY}CA_FILE"
        ),
        "a certificate for another name": Wrong(
            {
                "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{elsewhere}",
                f"{SECURITY}CA_FILE": str(folder / "authority.pem"),
            },
            "certificate verify failed.*IMAGELANE_KAFKA__BOOTSTRAP_SERVERS",
        ),
        "the same certificate under its own name, of no broker": Wrong(
            {
                "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": f"localhost:{elsewhere}",
                f"{SECURITY}CA_FILE": str(folder / "authority.pem"),
            },
            "no Kafka broker answers at localhost:(?!.*certificate verify failed)",
        ),
        "plaintext against TLS": Wrong(
            {
                name: ""
                for name in local_kafka.environment_for(kafka, "notifier")
                if name.startswith(SECURITY)
            },
            f"{kafka.bootstrap_servers}.*{SECURITY}PROTOCOL",
        ),
        "a file that is not there": Wrong(
            {f"{SECURITY}PASSWORD_FILE": str(folder / "gone")}, f"{SECURITY}PASSWORD_FILE", code=2
        ),
        "rights of another service": Wrong(
            {
                f"{SECURITY}USERNAME": local_kafka.user_of("tracker"),
                f"{SECURITY}PASSWORD_FILE": str(passwords / local_kafka.password_name("tracker")),
            },
            "imagelane-tracker may not .*WRITE notices.*imagelane topics access",
        ),
    }


async def test_what_is_wrong_is_named_and_nothing_runs_half(secured: Road, tmp_path: Path) -> None:
    authority = Authority.made(tmp_path)
    elsewhere = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", ssl=authority.server("localhost")
    )
    async with elsewhere:
        port = elsewhere.sockets[0].getsockname()[1]
        wrong = _wrong_settings(secured, tmp_path, port)
        ended = await asyncio.gather(*(_started(secured, one) for one in wrong.values()))
    for (what, expected), (code, output) in zip(wrong.items(), ended, strict=True):
        assert re.search(expected.said, output), f"{what}: {output}"
        assert code == expected.code, f"{what}: {output}"
        assert "partitions.assigned" not in output, what


async def _started(road: Road, wrong: Wrong) -> tuple[int | None, str]:
    """How the notifier ends with these settings, and what it says."""
    program = next(one for one in road.programs() if one.name == "notifier")
    environment = {**os.environ, **program.environment, **wrong.environment}  # noqa: TID251 - the child inherits ours
    environment["IMAGELANE_HEALTH__PORT"] = "0"
    process = await asyncio.create_subprocess_exec(
        *program.command,
        env={name: value for name, value in environment.items() if value},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), START_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


# Trying it


def _not_allowed(kafka: KafkaSettings, right: str) -> set[str]:
    """The topics for which the broker itself says that we may not."""
    missing = missing_rights(admin_client(kafka), kafka, {name: [right] for name in TOPICS})
    return {name for _right, name in missing}


def _written(kafka: KafkaSettings, names: list[str]) -> dict[str, str]:
    """What the broker says to a record for each topic."""
    said: dict[str, str] = {}

    def report(error: KafkaError | None, message: Message) -> None:
        said[str(message.topic())] = "written" if error is None else error.name()

    producer = Producer(client_properties(kafka))
    for name in names:
        producer.produce(name, b"not ours", partition=0, on_delivery=report)
    assert producer.flush(ANSWER_SECONDS) == 0
    return said


def _read(kafka: KafkaSettings, names: list[str]) -> dict[str, str]:
    """What the broker says to who wants to read each topic."""
    said: dict[str, str] = {}
    with closing(
        Consumer(client_properties(kafka) | {"group.id": kafka.group("reader")})
    ) as reader:
        for name in names:  # a topic that may not even be seen has no partitions to ask for
            unseen = reader.list_topics(name, timeout=ANSWER_SECONDS).topics[name].error
            if unseen is not None:
                said[name] = unseen.name()
        seen = [name for name in names if name not in said]
        reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING) for name in seen])
        deadline = time.monotonic() + ANSWER_SECONDS
        while said.keys() != {*names} and time.monotonic() < deadline:
            message = reader.poll(0.5)
            if message is not None and message.topic() is not None:
                error = message.error()
                said[str(message.topic())] = "read" if error is None else error.name()
    return said


def _joined(kafka: KafkaSettings, service: str, topic: str) -> str:
    """What becomes of who wants to be a member of the service's group."""
    with closing(Consumer(consumer_properties(kafka, service))) as member:
        member.subscribe([topic])
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            message = member.poll(0.5)
            if message is not None:
                error = message.error()
                return "read" if error is None else error.name()
            if member.assignment():
                return "joined"
    return "nothing"
