"""The cluster's Kafka is what the services are told of it."""

from __future__ import annotations

import pytest
from tests.deployment.kubernetes.rendering import (
    OVERLAYS,
    environment_of,
    mounted_secrets,
    named,
    of_kind,
    workloads,
)

from imagelane.contracts.topic_files import read_topic_files, schemas_folder

FILES = read_topic_files(schemas_folder())
COPIES = {"local": 1, "production": 3}
TALKING = (
    "intake",
    "downloader",
    "processor",
    "batcher",
    "dispatcher",
    "tracker",
    "gateway",
    "notifier",
    "topics",
)
PARTS = ("CA", "CERTIFICATE", "KEY")

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@each_overlay
def test_topics_have_as_many_partitions_and_copies_as_the_settings_say(overlay: str) -> None:
    data = environment_of(overlay, workloads(overlay)["topics"])
    copies = int(data.get("IMAGELANE_KAFKA__REPLICATION_FACTOR", "1"))
    assert copies == COPIES[overlay]
    partitions = {
        "strict": int(data["IMAGELANE_KAFKA__STRICT_PARTITIONS"]),
        "spread": int(data["IMAGELANE_KAFKA__SPREAD_PARTITIONS"]),
        "single": 1,
    }
    made = {one["metadata"]["name"]: one["spec"] for one in of_kind(overlay, "KafkaTopic")}
    assert {name: (spec["partitions"], spec["replicas"]) for name, spec in made.items()} == {
        name: (partitions[file.partitioning], copies) for name, file in FILES.items()
    }


@each_overlay
def test_there_are_as_many_brokers_as_copies(overlay: str) -> None:
    (pool,) = of_kind(overlay, "KafkaNodePool")
    assert pool["spec"]["replicas"] == COPIES[overlay]
    config = named(overlay, "Kafka", "imagelane")["spec"]["kafka"]["config"]
    assert config["offsets.topic.replication.factor"] == COPIES[overlay]
    assert config["min.insync.replicas"] == max(1, COPIES[overlay] - 1)
    assert config["auto.create.topics.enable"] is False


@each_overlay
def test_everybody_talks_with_a_listener_that_there_is(overlay: str) -> None:
    (listener,) = named(overlay, "Kafka", "imagelane")["spec"]["kafka"]["listeners"]
    for name in TALKING:
        data = environment_of(overlay, workloads(overlay)[name])
        servers = data["IMAGELANE_KAFKA__BOOTSTRAP_SERVERS"]
        assert servers == f"imagelane-kafka-bootstrap:{listener['port']}"
        assert (data.get("IMAGELANE_KAFKA__SECURITY__PROTOCOL") == "ssl") == listener["tls"]
        assert ("IMAGELANE_KAFKA__ALLOW_PLAINTEXT" in data) != listener["tls"]


def test_production_lets_in_nobody_without_a_certificate() -> None:
    kafka = named("production", "Kafka", "imagelane")["spec"]["kafka"]
    (listener,) = kafka["listeners"]
    assert (listener["tls"], listener["authentication"]) == (True, {"type": "tls"})
    assert kafka["authorization"] == {"type": "simple"}


@pytest.mark.parametrize("name", TALKING)
def test_each_pod_has_its_own_certificate_where_its_client_looks_for_it(name: str) -> None:
    workload = workloads("production")[name]
    data = environment_of("production", workload)
    files = mounted_secrets(workload)
    user = f"imagelane-{'ops' if name == 'topics' else name}"
    owners = {part: files[data[f"IMAGELANE_KAFKA__SECURITY__{part}_FILE"]] for part in PARTS}
    assert owners == {"CA": "imagelane-cluster-ca-cert", "CERTIFICATE": user, "KEY": user}
    assert named("production", "KafkaUser", user)


def test_no_secret_of_ours_has_the_name_of_one_that_the_operator_writes() -> None:
    ours = {
        secret
        for one in workloads("production").values()
        for path, secret in mounted_secrets(one).items()
        if path.startswith("/run/secrets/")
    }
    users = {one["metadata"]["name"] for one in of_kind("production", "KafkaUser")}
    assert not ours & users
