"""What was once released stays readable: a version of an event may only gain optional fields."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from imagelane.contracts.compatibility import breaks
from imagelane.contracts.schemas import EVENTS, event_file
from imagelane.contracts.topic_files import schemas_folder

FOLDER = schemas_folder()
SCHEMAS = sorted((FOLDER / "released").glob("*/*.json"))
GOLDEN = sorted((FOLDER / "released").glob("*/*.ndjson"))

Edit = Callable[[dict[str, Any]], None]


def name_of(path: Path) -> str:
    """Version and event of a released file."""
    return f"{path.parent.name}/{path.stem}"


def now(event: str) -> dict[str, Any]:
    """The event's schema as it is now."""
    schema: dict[str, Any] = json.loads(event_file(FOLDER, event).read_text())
    return schema


@pytest.mark.parametrize("path", SCHEMAS, ids=name_of)
def test_a_released_event_has_only_gained_optional_fields(path: Path) -> None:
    assert list(breaks(json.loads(path.read_text()), now(path.stem))) == []


@pytest.mark.parametrize("path", GOLDEN, ids=name_of)
def test_what_a_released_version_wrote_is_read_today(path: Path) -> None:
    validator = jsonschema_rs.validator_for(now(path.stem))
    for line in path.read_bytes().splitlines():
        msgspec.json.decode(line, type=EVENTS[path.stem])
        validator.validate(json.loads(line))


@pytest.mark.parametrize("path", SCHEMAS, ids=name_of)
def test_what_is_written_today_was_valid_in_the_released_version(path: Path) -> None:
    validator = jsonschema_rs.validator_for(json.loads(path.read_text()))
    for example in (FOLDER / "examples" / path.stem).glob("*.json"):
        validator.validate(json.loads(example.read_text()))


def test_a_release_keeps_a_schema_and_golden_events_of_each_of_its_events() -> None:
    assert SCHEMAS
    assert [name_of(path) for path in SCHEMAS] == [name_of(path) for path in GOLDEN]
    assert all(path.read_bytes() for path in GOLDEN)


def test_an_event_is_never_dropped() -> None:
    assert {path.stem for path in SCHEMAS} <= set(EVENTS)


def field(name: str, *inside: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Finds the schema of a field of the event, or of a named part of it."""

    def find(schema: dict[str, Any]) -> dict[str, Any]:
        holder = schema["definitions"][inside[0]] if inside else schema
        found: dict[str, Any] = holder["properties"][name]
        return found

    return find


url, code = field("url"), field("code", "Failure")
FORBIDDEN: dict[str, tuple[Edit, str]] = {
    "removed field": (lambda s: s["properties"].pop("group"), "/group: removed"),
    "removed field of a part": (
        lambda s: s["definitions"]["Failure"]["properties"].pop("code"),
        "/Failure/code: removed",
    ),
    "new required field": (
        lambda s: s.update(
            properties=s["properties"] | {"host": {"type": "string"}},
            required=[*s["required"], "host"],
        ),
        "/host: newly required",
    ),
    "optional field made required": (lambda s: s["required"].append("group"), "/group: newly"),
    "required field made optional": (lambda s: s["required"].remove("url"), "/url: no longer"),
    "retyped field": (lambda s: url(s).update(type="object"), "/url: type was 'string'"),
    "tightened pattern": (lambda s: code(s).update(pattern="^[a-z]+$"), "/Failure/code: pattern"),
    "new pattern": (lambda s: url(s).update(pattern="^https:"), "/url: pattern was None"),
    "tightened length": (lambda s: url(s).update(maxLength=10), "/url: maxLength"),
    "widened length": (lambda s: url(s).update(maxLength=10_000), "/url: maxLength"),
    "other default": (lambda s: field("round")(s).update(default=1), "/round: default"),
    "closed to new fields": (lambda s: s.update(additionalProperties=False), "/: additionalProp"),
    "part replaced by another": (
        lambda s: field("defect")(s).update({"$ref": "#/definitions/Defect"}),
        "/defect: $ref",
    ),
}


@pytest.mark.parametrize("edit", FORBIDDEN)
def test_the_gate_catches(edit: str) -> None:
    change, complaint = FORBIDDEN[edit]
    schema = now("image.requested.v1")
    change(schema)
    found = list(breaks(now("image.requested.v1"), schema))
    assert [one for one in found if one.startswith(complaint)] == found != []


def test_the_gate_lets_optional_fields_and_better_words_pass() -> None:
    schema = now("image.requested.v1")
    schema["description"] = "Better words."
    schema["properties"]["priority"] = {"$ref": "#/definitions/Priority"}
    schema["definitions"]["Priority"] = {"type": "object", "required": ["level"]}
    schema["definitions"]["Failure"]["properties"]["hint"] = {"type": "string"}
    assert list(breaks(now("image.requested.v1"), schema)) == []
