"""The schemas that manifests are held against refuse what an API server would refuse or drop."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from tests.deployment.kubernetes.rendering import OVERLAYS, Resource, rendered
from tests.deployment.kubernetes.schemas import CRDS, built_in_schema, custom_schemas

SCHEMAS = {
    name: jsonschema_rs.Draft7Validator(schema)
    for path in CRDS.glob("*.yaml")
    for name, schema in custom_schemas(yaml.safe_load(path.read_text()))
}


def validator_of(resource: Resource) -> jsonschema_rs.Draft7Validator | None:
    """The schema of a custom resource, named as kubeconform looks for it."""
    group, version = resource["apiVersion"].partition("/")[::2]
    return SCHEMAS.get(f"{resource['kind']}-{group.split('.')[0]}-{version}.json".lower())


CUSTOM: dict[str, Resource] = {
    one["kind"]: one for overlay in OVERLAYS for one in rendered(overlay) if validator_of(one)
}


def accepts(resource: Resource) -> bool:
    validator = validator_of(resource)
    assert validator is not None
    return bool(validator.is_valid(resource))


def test_every_kind_of_the_operators_is_there() -> None:
    wanted = {
        "Kafka",
        "KafkaNodePool",
        "KafkaTopic",
        "KafkaUser",
        "ScaledObject",
        "TriggerAuthentication",
        "PodMonitor",
        "PrometheusRule",
    }
    assert set(CUSTOM) == wanted


@pytest.mark.parametrize("kind", sorted(CUSTOM))
def test_a_field_that_there_is_none_of_is_refused(kind: str) -> None:
    resource = deepcopy(CUSTOM[kind])
    assert accepts(resource)
    resource["spec"]["replicaz"] = 3
    assert not accepts(resource)


@pytest.mark.parametrize(
    ("kind", "path", "wrong"),
    [
        ("KafkaTopic", ("spec", "partitions"), "twelve"),
        ("KafkaUser", ("spec", "authorization", "acls", 0, "operations"), ["Scribble"]),
        ("Kafka", ("spec", "kafka", "listeners", 0, "type"), "inside"),
        ("ScaledObject", ("spec", "maxReplicaCount"), "many"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "for"), "soon"),
    ],
)
def test_a_wrong_value_deep_inside_is_refused(
    kind: str, path: tuple[str | int, ...], wrong: object
) -> None:
    resource = deepcopy(CUSTOM[kind])
    at: Any = resource
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = wrong
    assert not accepts(resource)


def test_a_built_in_schema_finds_its_definitions_beside_it() -> None:
    text = '{"$id": "https://k8s.io/x", "$schema": "y", "properties": {"a": {"$ref": "/api/_definitions.json#/b"}}}'
    assert built_in_schema(text) == '{"properties": {"a": {"$ref": "_definitions.json#/b"}}}'


def test_the_copies_of_the_definitions_are_whole() -> None:
    assert len(list(Path(CRDS).glob("*.yaml"))) == len(CUSTOM)
