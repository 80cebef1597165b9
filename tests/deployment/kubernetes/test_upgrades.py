"""What docs/deploying.md says of upgrades and scaling, done to a real API server that keeps what it is given."""

from __future__ import annotations

from copy import deepcopy

import pytest
from tests.deployment.kubernetes.api_server import Cluster
from tests.deployment.kubernetes.rendering import Resource, container_of, rendered, workloads


def with_tag(tag: str) -> list[Resource]:
    """The production overlay with our images of another version."""
    resources = deepcopy(rendered("production"))
    for one in resources:
        if one["metadata"]["name"] in workloads("production"):
            container = one.get("spec", {}).get("template", {}).get("spec", {}).get("containers")
            for each in container or []:
                each["image"] = f"{each['image'].partition(':')[0]}:{tag}"
    return resources


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Cluster:
    answer = cluster.apply(rendered("production"))
    assert answer.accepted, answer
    return cluster


def test_a_new_version_is_taken_once_the_jobs_are_gone(installed: Cluster) -> None:
    image = container_of(workloads("production")["batcher"])["image"]
    newer = with_tag("0.2.0")
    refused = installed.apply(newer, dry_run=True)
    assert refused.code != 0
    assert refused.errors.count("field is immutable") == 2  # the jobs, as the page says
    jobs = ["topics", "database"]
    answer = installed.kubectl("--namespace=imagelane", "delete", "job", *jobs)
    assert answer.code == 0, answer
    answer = installed.apply(newer)
    assert answer.accepted, answer
    answer = installed.kubectl(
        "--namespace=imagelane",
        "get",
        "statefulset",
        "batcher",
        "--output=jsonpath={.spec.template.spec.containers[0].image}",
    )
    assert answer.output == image.replace("0.1.0", "0.2.0")


@pytest.mark.parametrize("name", ["downloader", "processor"])
def test_what_the_scaler_decided_stays_when_the_overlay_is_applied_again(
    installed: Cluster, name: str
) -> None:
    one = ["--namespace=imagelane", "deployment", name]
    answer = installed.kubectl("scale", *one, "--replicas=7")
    assert answer.code == 0, answer
    services = [one for one in rendered("production") if one["kind"] == "Deployment"]
    answer = installed.apply(services)
    assert answer.accepted, answer
    answer = installed.kubectl("get", *one, "--output=jsonpath={.spec.replicas}")
    assert answer.output == "7"
