"""What Prometheus is told to scrape is every service, under the names that alerts and dashboard use, and it may."""

from __future__ import annotations

from typing import Final

from tests.deployment.kubernetes.rendering import (
    Resource,
    container_of,
    labels_of,
    named,
    policies_for,
    workloads,
)

from imagelane.ops.metrics_reference import declared

OVERLAY: Final = "production"
SERVICES: Final = {service for one in declared() for service in one.services}
NAME: Final = "app.kubernetes.io/name"


def health_ports(workload: Resource) -> list[int]:
    ports = container_of(workload).get("ports", [])
    return [one["containerPort"] for one in ports if one["name"] == "health"]


def test_the_monitor_chooses_the_services_by_label_and_port_and_nothing_else() -> None:
    spec = named(OVERLAY, "PodMonitor", "imagelane")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("health", "/metrics")
    chosen = {
        labels_of(one)[NAME]
        for one in workloads(OVERLAY).values()
        if spec["selector"]["matchLabels"].items() <= labels_of(one).items() and health_ports(one)
    }
    assert chosen == SERVICES


def test_a_worker_is_known_by_its_service() -> None:
    (endpoint,) = named(OVERLAY, "PodMonitor", "imagelane")["spec"]["podMetricsEndpoints"]
    (relabeling,) = endpoint["relabelings"]
    meta = "__meta_kubernetes_pod_label_" + NAME.replace(".", "_").replace("/", "_")
    assert relabeling == {"sourceLabels": [meta], "targetLabel": "service"}


def test_prometheus_may_reach_every_service() -> None:
    for service in SERVICES:
        workload = workloads(OVERLAY)[service]
        (port,) = health_ports(workload)
        allowed = {
            (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], one["port"])
            for policy in policies_for(OVERLAY, workload)
            for rule in policy["spec"].get("ingress") or []
            for peer in rule.get("from", [])
            if "namespaceSelector" in peer
            for one in rule["ports"]
        }
        assert allowed & {("monitoring", port), ("monitoring", "health")}, service
