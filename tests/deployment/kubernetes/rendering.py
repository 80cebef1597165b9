"""The overlays as `kubectl kustomize` renders them, and what a Kubernetes cluster would make of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[3]
OVERLAYS: Final = ("local", "production")
WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "Job"})
MISSING: Final = "kubectl is missing: `make test-k8s` builds it (it needs Go)"

Resource = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Resource]:
    """All resources of the overlay. Fails where `kubectl` is not there, or refuses."""
    command = shutil.which("kubectl")
    assert command, MISSING
    folder = ROOT / "k8s" / "overlays" / overlay
    done = subprocess.run(
        [command, "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> list[Resource]:
    """Those of these kinds."""
    return [one for one in rendered(overlay) if one["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Resource:
    """The one of this kind and name."""
    (found,) = [one for one in of_kind(overlay, kind) if one["metadata"]["name"] == name]
    return found


def workloads(overlay: str) -> dict[str, Resource]:
    """All that makes pods, by name."""
    return {one["metadata"]["name"]: one for one in of_kind(overlay, *WORKLOADS)}


def pod_of(workload: Resource) -> Resource:
    """Its pods' specification."""
    spec: Resource = workload["spec"]["template"]["spec"]
    return spec


def labels_of(workload: Resource) -> Mapping[str, str]:
    """Its pods' labels."""
    labels: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def container_of(workload: Resource) -> Resource:
    """Its pods' only container."""
    (container,) = pod_of(workload)["containers"]
    return dict(container)


def environment_of(overlay: str, workload: Resource) -> dict[str, str]:
    """The variables of its container: those of config maps, then its own."""
    container = container_of(workload)
    values: dict[str, str] = {}
    for source in container.get("envFrom", []):
        values |= named(overlay, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", []):
        values[one["name"]] = one.get("value", f"{workload['metadata']['name']}-0")
    return values


def mounted_secrets(workload: Resource) -> dict[str, str]:
    """The files that come from secrets, each with its secret's name."""
    mounts = {
        one["name"]: one["mountPath"] for one in container_of(workload).get("volumeMounts", [])
    }
    return {
        f"{mounts[volume['name']]}/{item['path']}": source["secret"]["name"]
        for volume in pod_of(workload).get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    }


def policies_for(overlay: str, workload: Resource) -> Iterator[Resource]:
    """The network policies that select its pods."""
    labels = labels_of(workload)
    for policy in of_kind(overlay, "NetworkPolicy"):
        wanted = policy["spec"]["podSelector"].get("matchLabels", {})
        if wanted.items() <= labels.items():
            yield policy


def egress_of(overlay: str, name: str) -> dict[str, list[Resource]]:
    """What a workload's pods may reach, by the policy that allows it."""
    workload = workloads(overlay)[name]
    found = {
        policy["metadata"]["name"]: policy["spec"].get("egress") or []
        for policy in policies_for(overlay, workload)
        if "Egress" in policy["spec"]["policyTypes"]
    }
    return {name: rules for name, rules in found.items() if rules}
