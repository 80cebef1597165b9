"""A real API server takes every overlay, admits every pod, and refuses what is wrong or has too many rights."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

import pytest
from tests.deployment.kubernetes.api_server import Cluster
from tests.deployment.kubernetes.rendering import (
    OVERLAYS,
    Resource,
    labels_of,
    named,
    pod_of,
    rendered,
    workloads,
)

Path = Sequence[str | int]
CONTAINER: Final = ("spec", "template", "spec", "containers", 0)

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def changed(resource: Resource, path: Path, value: object) -> Resource:
    """The same with another value at `path`."""
    copy = deepcopy(resource)
    at: Any = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return copy


def pod_from(workload: Resource) -> Resource:
    """A pod as the workload's controller would make it."""
    metadata = {
        "name": f"{workload['metadata']['name']}-test",
        "namespace": workload["metadata"]["namespace"],
        "labels": dict(labels_of(workload)),
    }
    spec = deepcopy(pod_of(workload))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@each_overlay
def test_everything_is_taken_without_a_warning(cluster: Cluster, overlay: str) -> None:
    answer = cluster.apply(rendered(overlay), dry_run=True)
    assert answer.accepted, answer
    assert len(answer.output.splitlines()) == len(rendered(overlay))


@each_overlay
def test_every_pod_is_admitted_to_the_restricted_namespace(cluster: Cluster, overlay: str) -> None:
    pods = [pod_from(workload) for workload in workloads(overlay).values()]
    answer = cluster.apply(pods, dry_run=True)
    assert answer.accepted, answer
    assert len(answer.output.splitlines()) == len(pods)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "containers", 0, "securityContext", "privileged"), True, "privileged"),
        (
            ("spec", "containers", 0, "securityContext", "capabilities"),
            {"add": ["NET_ADMIN"]},
            "capabilities",
        ),
        (("spec", "securityContext"), {"runAsUser": 0}, "runAsUser=0"),
        (("spec", "hostNetwork"), True, "hostNetwork"),
        (("spec", "volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}, "hostPath"),
    ],
)
def test_a_pod_with_rights_is_refused(
    cluster: Cluster, path: Path, value: object, said: str
) -> None:
    pod = pod_from(workloads("production")["downloader"])
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    answer = cluster.apply([changed(pod, path, value)], dry_run=True)
    assert answer.code != 0
    assert 'violates PodSecurity "restricted' in answer.errors
    assert said in answer.errors


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "said"),
    [
        (
            "Deployment",
            "gateway",
            (*CONTAINER, "ports", 0, "containerPort"),
            99_999,
            "must be between 1 and 65535",
        ),
        ("Deployment", "gateway", (*CONTAINER, "imagee"), "x", "field not declared in schema"),
        ("Deployment", "gateway", ("spec", "selector", "matchLabels"), {"a": "b"}, "selector"),
        (
            "Deployment",
            "gateway",
            (*CONTAINER, "volumeMounts", 0, "name"),
            "nothing",
            "Not found",
        ),
        (
            "NetworkPolicy",
            "world",
            ("spec", "egress", 0, "to", 0, "ipBlock", "cidr"),
            "8.8.8.0/24",
            "must be a strict subset",
        ),
        ("PodDisruptionBudget", "batcher", ("spec", "minAvailable"), 1, "cannot be both set"),
        ("KafkaTopic", "urls", ("spec", "partitions"), 0, "greater than or equal to 1"),
        ("Kafka", "imagelane", ("spec", "kafka", "listeners", 0, "type"), "inside", "Unsupported"),
        ("ScaledObject", "processor", ("spec", "maxReplicaCount"), "many", "expected numeric"),
        ("PrometheusRule", "imagelane", ("spec", "groups", 0, "rules", 0, "for"), "soon", "match"),
    ],
)
def test_a_mistake_is_refused(
    cluster: Cluster, kind: str, name: str, path: Path, value: object, said: str
) -> None:
    answer = cluster.apply([changed(named("production", kind, name), path, value)], dry_run=True)
    assert answer.code != 0
    assert said in answer.errors
