"""Topics and access lists in the cluster are those of the topic files, and nobody may more than they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deployment.strimzi import COMPONENTS, files, main

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.contracts.topics import CALLS, TOPOLOGY
from imagelane.platform.settings import KafkaSettings

TOPICS = read_topic_files(schemas_folder())
SERVICES = {
    path.parent.name for path in Path(COMPONENTS.parents[1], "services").glob("*/Dockerfile")
}
USERS = {
    one["metadata"]["name"].removeprefix("imagelane-"): one["spec"]["authorization"]["acls"]
    for one in yaml.safe_load_all((COMPONENTS / "kafka-secured" / "users.yaml").read_text())
}
CHANGELOG = "imagelane-batcher-lanes-changelog"
GROUP = KafkaSettings(bootstrap_servers="localhost:9092").group


def allowed(kind: str, operation: str) -> dict[str, set[str]]:
    """Who may do this with which resource: name → principals; a name that ends with * stands for a prefix."""
    found: dict[str, set[str]] = {}
    for user, acls in USERS.items():
        for acl in acls:
            resource: dict[str, Any] = acl["resource"]
            if resource["type"] == kind and {operation, "All"} & set(acl["operations"]):
                name = resource.get("name", "") + "*" * (resource.get("patternType") == "prefix")
                found.setdefault(name, set()).add(user)
    return found


def test_the_committed_files_are_what_follows_from_the_topic_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_every_topic_file_has_its_topic_in_the_cluster() -> None:
    made = list(yaml.safe_load_all((COMPONENTS / "strimzi" / "topics.yaml").read_text()))
    assert {one["metadata"]["name"]: one["spec"]["config"] for one in made} == {
        name: topic.config for name, topic in TOPICS.items()
    }


def test_every_service_that_talks_with_the_broker_is_a_principal() -> None:
    assert set(USERS) == SERVICES - {"standin"} | {"keda"}


def test_who_may_write_a_topic_are_its_producers() -> None:
    written = {name: users - {"ops"} for name, users in allowed("topic", "Write").items()}
    assert written == {name: {*topic.producers} - {"ops"} for name, topic in TOPICS.items()}


def test_who_may_read_a_topic_are_its_consumers() -> None:
    read = {name: users - {"ops"} for name, users in allowed("topic", "Read").items()}
    everybody = set(USERS) - {"keda", "ops"}
    wanted = {name: {*topic.consumers} - {"ops"} for name, topic in TOPICS.items()}
    assert read == wanted | {TOPOLOGY: everybody}


@pytest.mark.parametrize(("topic", "owner"), [(CALLS, "dispatcher"), (CHANGELOG, "batcher")])
def test_a_log_has_one_writer(topic: str, owner: str) -> None:
    assert allowed("topic", "Write")[topic] - {"ops"} == {owner}


def test_a_group_has_the_members_of_one_service() -> None:
    members = {
        name: users for name, users in allowed("group", "Read").items() if name != f"{GROUP('')}*"
    }
    services = ("batcher", "dispatcher", "downloader", "intake", "notifier", "processor", "tracker")
    assert members == {GROUP(one): {one} for one in services} | {GROUP("intake-orders"): {"intake"}}
    assert allowed("group", "Read")[f"{GROUP('')}*"] == {"ops"}


def test_only_the_dispatcher_has_transactions() -> None:
    assert allowed("transactionalId", "Write") == {f"{GROUP('dispatcher')}-*": {"dispatcher"}}


def test_only_people_may_make_topics_or_delete_what_is_in_them() -> None:
    for operation in ("Create", "Delete", "Alter", "AlterConfigs"):
        assert set().union(*allowed("topic", operation).values()) == {"ops"}
    assert set(allowed("cluster", "Describe")) == {""}


def test_the_scaler_only_looks_on() -> None:
    operations = {operation for acl in USERS["keda"] for operation in acl["operations"]}
    assert operations == {"Describe"}


def test_a_file_that_is_not_current_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stale = {tmp_path / path.name: text for path, text in files().items()}
    monkeypatch.setattr("tests.deployment.strimzi.files", lambda: stale)
    assert main(["--check"]) == 1
    assert main(["--write"]) == 0
    assert main(["--check"]) == 0
    assert "users.yaml: not current" in capsys.readouterr().err
