"""The component for traces gives every service that has them the standard variables, and a way to the collector."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.deployment.kubernetes.rendering import MISSING, ROOT, pod_of

TRACED = {
    "intake",
    "downloader",
    "processor",
    "batcher",
    "dispatcher",
    "tracker",
    "gateway",
    "notifier",
}


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("overlay")
    kubernetes = Path(os.path.relpath(ROOT / "k8s", folder.resolve()))
    overlay = {
        "resources": [str(kubernetes / "base")],
        "components": [str(kubernetes / "components" / "tracing")],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    command = shutil.which("kubectl")
    assert command, MISSING
    done = subprocess.run(
        [command, "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def test_every_service_with_traces_reads_the_variables_and_nobody_else(
    resources: list[dict[str, Any]],
) -> None:
    maps = {one["metadata"]["name"]: one["data"] for one in resources if one["kind"] == "ConfigMap"}
    (name,) = (one for one in maps if one.startswith("tracing"))
    assert all(variable.startswith("OTEL_") for variable in maps[name])
    readers = {
        one["metadata"]["name"]
        for one in resources
        if one["kind"] in {"Deployment", "StatefulSet"}
        for source in pod_of(one)["containers"][0].get("envFrom", [])
        if source.get("configMapRef", {}).get("name") == name
    }
    assert readers == TRACED


def test_the_collector_may_be_reached_by_exactly_those(resources: list[dict[str, Any]]) -> None:
    (policy,) = (
        one
        for one in resources
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "tracing"
    )
    (chosen,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert set(chosen["values"]) == TRACED
    (way,) = policy["spec"]["egress"]
    assert [port["port"] for port in way["ports"]] == [4318]
