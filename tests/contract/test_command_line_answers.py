"""What the command line reads of the API's answers is what the API describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from imagelane.contracts.topic_files import schemas_folder
from imagelane.ops.client.core import answers
from imagelane.ops.client.gateway import OPTIONS

SHAPES: Final[dict[type[msgspec.Struct], str]] = {
    answers.Call: "CallStatus",
    answers.Commanded: "Commanded",
    answers.Counts: "Counts",
    answers.FailureCount: "FailureCount",
    answers.Freshness: "Freshness",
    answers.Image: "ImageStatus",
    answers.Job: "JobAnswer",
    answers.Lane: "LaneAnswer",
    answers.Notice: "NoticeStatus",
    answers.Output: "ImageOutput",
    answers.Problem: "Problem",
    answers.Refusal: "Failure",
    answers.Step: "Step",
    answers.Submitted: "Submitted",
    answers.Trail: "ImageTrail",
}


@pytest.fixture(scope="module")
def described() -> Any:
    return msgspec.yaml.decode(Path(schemas_folder() / "openapi.yaml").read_bytes())


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
def test_every_field_that_is_read_is_described(kind: type[msgspec.Struct], described: Any) -> None:
    shape = described["components"]["schemas"][SHAPES[kind]]
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    assert fields.keys() <= shape["properties"].keys()
    needed = {name for name, field in fields.items() if field.required}
    assert needed <= set(shape["required"])


def test_every_parameter_of_a_command_is_one_of_the_api(described: Any) -> None:
    shared = described["components"]["parameters"]
    listed = [
        one
        for path in described["paths"].values()
        for operation in path.values()
        if isinstance(operation, dict)
        for one in operation.get("parameters", [])
    ]
    names = {one["name"] for one in [*listed, *shared.values()] if "name" in one}
    for body in ("Submission", "ReleaseWanted"):
        names |= described["components"]["schemas"][body]["properties"].keys()
    assert OPTIONS.keys() - {"file"} <= names
