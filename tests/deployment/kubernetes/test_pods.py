"""Every pod is restricted, is told only what it reads, ends in time, and says how it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.deployment.containers import CLASSES, load, make_secrets, unknown_variables
from tests.deployment.kubernetes.rendering import (
    OVERLAYS,
    ROOT,
    container_of,
    environment_of,
    labels_of,
    mounted_secrets,
    named,
    of_kind,
    pod_of,
    workloads,
)

from imagelane.dispatcher.ending import REST_SECONDS, SENDING_SECONDS
from imagelane.platform.bounded_end import END_SECONDS
from imagelane.platform.settings import KafkaSettings

SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/Dockerfile"))
ROAD = sorted(set(SERVICES) - {"ops", "standin"})
STATEFUL = {
    "batcher": "IMAGELANE_BATCHER__GROUP_INSTANCE_ID",
    "dispatcher": "IMAGELANE_DISPATCHER__WORKER_NAME",
}
SECRET_OF_FILE = {
    "s3-secret-access-key": "imagelane-s3",
    "database-password": "imagelane-database",
    "deployment-secret": "imagelane-deployment",
    "webhook-secret": "imagelane-webhook",
    "notify-secret": "imagelane-notify",
    "batch-api-token": "imagelane-batch-api",
}

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_service = pytest.mark.parametrize("name", ROAD)


@each_overlay
def test_every_service_is_deployed(overlay: str) -> None:
    kinds = {name: one["kind"] for name, one in workloads(overlay).items()}
    assert {name: kinds[name] for name in ROAD} == {
        name: "StatefulSet" if name in STATEFUL else "Deployment" for name in ROAD
    }


@each_overlay
def test_every_container_is_restricted(overlay: str) -> None:
    namespace = named(overlay, "Namespace", "imagelane")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in workloads(overlay).values():
        pod, container = pod_of(workload), container_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()


@each_overlay
def test_what_can_be_written_has_a_size(overlay: str) -> None:
    for workload in workloads(overlay).values():
        volumes = pod_of(workload).get("volumes", [])
        assert all(one["emptyDir"]["sizeLimit"] for one in volumes if "emptyDir" in one)
        assert not any("hostPath" in one for one in volumes)
        resources = container_of(workload)["resources"]
        assert resources["requests"].keys() == resources["limits"].keys()
        assert resources["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}


@each_overlay
def test_a_container_is_passed_only_settings_that_it_has(overlay: str) -> None:
    found = {
        name: unknown_variables(name, environment_of(overlay, workload))
        for name, workload in workloads(overlay).items()
        if name in CLASSES
    }
    assert set(found) == {*ROAD, "topics", "database"}
    assert not any(found.values()), found


@each_overlay
@pytest.mark.parametrize("name", [*ROAD, "topics", "database"])
def test_a_service_accepts_what_it_is_passed(
    overlay: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = workloads(overlay)[name]
    secrets = make_secrets(tmp_path, {Path(path).name for path in mounted_secrets(workload)})
    environment = environment_of(overlay, workload)
    assert isinstance(load(name, environment, secrets, monkeypatch), CLASSES[name])


@each_overlay
def test_secrets_are_files_and_each_pod_has_those_that_it_names(overlay: str) -> None:
    for workload in workloads(overlay).values():
        assert not [
            one for one in container_of(workload).get("env", []) if "secretKeyRef" in str(one)
        ]
        text = json.dumps([environment_of(overlay, workload), container_of(workload)])
        files = {
            Path(path).name: secret
            for path, secret in mounted_secrets(workload).items()
            if path.startswith("/run/secrets/")
        }
        assert files == {file: SECRET_OF_FILE[file] for file in files}
        assert {file for file in SECRET_OF_FILE if f"/run/secrets/{file}" in text} == set(files)
    assert of_kind(overlay, "Secret") == []


@each_overlay
@each_service
def test_a_service_says_how_it_is(overlay: str, name: str) -> None:
    container = container_of(workloads(overlay)[name])
    probes = {
        kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")
    }
    assert probes == {
        "startup": {"path": "/startupz", "port": "health"},
        "readiness": {"path": "/readyz", "port": "health"},
        "liveness": {"path": "/livez", "port": "health"},
    }
    assert {"name": "health", "containerPort": 9090} in container["ports"]


@each_overlay
@each_service
def test_nodes_can_be_drained_one_worker_at_a_time(overlay: str, name: str) -> None:
    workload = workloads(overlay)[name]
    budget = named(overlay, "PodDisruptionBudget", name)["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == workload["spec"]["selector"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels_of(workload).items()
    keys = {one["topologyKey"] for one in pod_of(workload)["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


@each_overlay
@pytest.mark.parametrize(("name", "variable"), STATEFUL.items())
def test_a_worker_with_a_name_has_its_pod_s(overlay: str, name: str, variable: str) -> None:
    (given,) = [
        one for one in container_of(workloads(overlay)[name])["env"] if one["name"] == variable
    ]
    assert given["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert named(overlay, "Service", name)["spec"]["clusterIP"] == "None"


@each_overlay
def test_nobody_is_killed_within_the_time_that_it_takes_to_end(overlay: str) -> None:
    grace = {
        name: pod_of(workloads(overlay)[name])["terminationGracePeriodSeconds"]
        for name in ("batcher", "dispatcher", "downloader", "processor")
    }
    assert grace.pop("dispatcher") > SENDING_SECONDS + REST_SECONDS
    assert min(grace.values()) > END_SECONDS


@each_overlay
def test_an_account_is_there_for_every_pod_and_has_no_token(overlay: str) -> None:
    accounts = of_kind(overlay, "ServiceAccount")
    assert all(one["automountServiceAccountToken"] is False for one in accounts)
    names = {one["metadata"]["name"] for one in accounts}
    assert {pod_of(one)["serviceAccountName"] for one in workloads(overlay).values()} == names


def test_production_survives_a_node_and_uses_every_host() -> None:
    data = environment_of("production", workloads("production")["intake"])
    assert data["IMAGELANE_KAFKA__REPLICATION_FACTOR"] == "3"
    assert int(data["IMAGELANE_KAFKA__SPREAD"]) > 1
    replicas = {name: workloads("production")[name]["spec"].get("replicas") for name in ROAD}
    scaled = {one["metadata"]["name"] for one in of_kind("production", "ScaledObject")}
    assert scaled == {"downloader", "processor"}
    assert all((count is None) == (name in scaled) for name, count in replicas.items())
    assert all(count is None or count > 1 for count in replicas.values())


def test_a_processor_has_memory_for_its_children() -> None:
    for overlay in OVERLAYS:
        workload = workloads(overlay)["processor"]
        children = int(environment_of(overlay, workload)["IMAGELANE_PROCESSOR__CHILDREN"])
        assert container_of(workload)["resources"]["limits"]["memory"] == f"{children + 1}Gi"
        assert container_of(workload)["resources"]["limits"]["cpu"] == str(children)


def test_lag_is_compared_for_the_groups_and_topics_that_there_are() -> None:
    group = KafkaSettings(bootstrap_servers="localhost:9092").group
    for one in of_kind("production", "ScaledObject"):
        name, (trigger,) = one["spec"]["scaleTargetRef"]["name"], one["spec"]["triggers"]
        assert trigger["metadata"]["consumerGroup"] == group(name)
        assert (
            trigger["metadata"]["topic"]
            == {"downloader": "requested", "processor": "downloaded"}[name]
        )
        servers = environment_of("production", workloads("production")[name])
        assert (
            trigger["metadata"]["bootstrapServers"] == servers["IMAGELANE_KAFKA__BOOTSTRAP_SERVERS"]
        )
        assert int(one["spec"]["maxReplicaCount"]) <= int(
            servers["IMAGELANE_KAFKA__SPREAD_PARTITIONS"]
        )
