"""Schemas for kubeconform, as a folder: `python -m tests.deployment.kubernetes.schemas FOLDER BUILT_IN`.

`BUILT_IN` is the folder of one Kubernetes version in the package kubernetes-validate, whose schemas refuse unknown
fields; those of the operators' resources are made from `k8s/crds`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

CRDS: Final = Path(__file__).parents[3] / "k8s" / "crds"
GO_ONLY: Final = "(?i)"  # in patterns of Go's, which JSON Schema's do not know
OF_NO_OBJECT: Final = "x-kubernetes-preserve-unknown-fields"

Schema = dict[str, Any]


def custom_schemas(crd: Schema) -> Iterator[tuple[str, Schema]]:
    """A file name and a schema for every version of a custom resource."""
    group, kind = crd["spec"]["group"].split(".")[0], crd["spec"]["names"]["kind"]
    for version in crd["spec"]["versions"]:
        schema: Schema = strict(version["schema"]["openAPIV3Schema"])
        for known in ("apiVersion", "kind", "metadata"):
            schema["properties"].setdefault(known, {})
        schema["properties"]["metadata"] = {"type": "object"}
        yield f"{kind}-{group}-{version['name']}.json".lower(), schema


def strict(schema: Any) -> Any:
    """The same, refusing fields that it does not name, and taking what an API server takes for a number or a text."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(one) for name, one in schema.items()}
    if made.pop("x-kubernetes-int-or-string", False):
        made = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if GO_ONLY in str(made.get("pattern")):
        del made["pattern"]
    closed = isinstance(made.get("properties"), dict) and "additionalProperties" not in made
    if closed and not made.get(OF_NO_OBJECT):
        made["additionalProperties"] = False
    return made


def built_in_schema(text: str) -> str:
    """One of kubernetes-validate's, with references that are files beside it."""
    schema: Schema = json.loads(text)
    for name in ("$id", "$schema"):
        schema.pop(name, None)
    return json.dumps(schema).replace("/api/_definitions.json", "_definitions.json")


def main(folder: Path, built_in: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in built_in.glob("*.json"):
        (folder / path.name).write_text(built_in_schema(path.read_text()))
    for path in CRDS.glob("*.yaml"):
        for name, schema in custom_schemas(yaml.safe_load(path.read_text())):
            (folder / name).write_text(json.dumps(schema))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
