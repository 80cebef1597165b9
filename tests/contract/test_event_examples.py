"""Every event has named examples; each is valid, readable, and written again as it was."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from imagelane.contracts.codec import decode, encode, event_id, headers_of
from imagelane.contracts.events import Event, LaneTold
from imagelane.contracts.image_sets import pack, unpack
from imagelane.contracts.parts import ImageSet
from imagelane.contracts.schemas import EVENTS, LIST_SUBMITTED, event_file
from imagelane.contracts.topic_files import schemas_folder
from imagelane.contracts.topics import TOPIC_OF

FOLDER = schemas_folder()
EXAMPLES = sorted((FOLDER / "examples").glob("*/*.json"))


def name_of(path: Path) -> str:
    """Event and case of an example."""
    return f"{path.parent.name}/{path.stem}"


each_example = pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
each_typed_example = pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.parent.name != LIST_SUBMITTED], ids=name_of
)
"""Of all events but the public entrance, which has a reader of its own, in intake."""


def event_in(path: Path) -> Event:
    """The event in a typed example."""
    event = msgspec.json.decode(path.read_bytes(), type=EVENTS[path.parent.name])
    assert isinstance(event, Event)
    return event


def schema(path: Path) -> dict[str, Any]:
    """The schema of an example's event."""
    made: dict[str, Any] = json.loads(event_file(FOLDER, path.parent.name).read_text())
    return made


def closed(part: Any) -> Any:
    """The same schema for writers, who may send nothing that it does not name."""
    if isinstance(part, list):
        return [closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    shut = {"additionalProperties": False} if "properties" in part else {}
    return {word: closed(one) for word, one in part.items()} | shut


def test_every_event_has_an_example_and_no_example_is_without_its_event() -> None:
    assert {path.parent.name for path in EXAMPLES} == set(EVENTS)
    assert len(EXAMPLES) == sum(path.is_file() for path in (FOLDER / "examples").rglob("*"))


@each_example
def test_an_example_is_valid_and_has_no_field_that_its_schema_does_not_name(path: Path) -> None:
    jsonschema_rs.validator_for(closed(schema(path))).validate(json.loads(path.read_text()))


@each_example
def test_an_example_is_read_and_written_again_as_it_was(path: Path) -> None:
    fields = schema(path)["properties"]
    defaults = {name: one["default"] for name, one in fields.items() if "default" in one}
    event = msgspec.json.decode(path.read_bytes(), type=EVENTS[path.parent.name])
    written = json.loads(msgspec.json.encode(event))
    assert defaults | written == defaults | json.loads(path.read_text())


@each_typed_example
def test_an_example_travels_on_its_topic_in_one_line(path: Path) -> None:
    event = event_in(path)
    line = encode(event)
    assert b"\n" not in line
    assert line.startswith(b'{"type":"%b",' % path.parent.name.encode())
    assert decode(TOPIC_OF[type(event)], line) == event


def image_sets(value: Any) -> list[Any]:
    """Every set of images in a JSON value."""
    if isinstance(value, list):
        return [found for one in value for found in image_sets(one)]
    if not isinstance(value, dict):
        return []
    return [value] if "bitmap" in value else image_sets(list(value.values()))


@each_example
def test_count_ranges_and_bitmap_of_an_example_say_the_same(path: Path) -> None:
    for found in image_sets(json.loads(path.read_text())):
        images = msgspec.convert(found, ImageSet)
        assert pack(unpack(images)) == images


def test_events_that_differ_have_ids_that_differ() -> None:
    told = [
        msgspec.json.decode(path.read_bytes(), type=LaneTold)
        for path in EXAMPLES
        if path.parent.name == "lane.told.v1"
    ]
    assert len({event_id(event) for event in told}) == len(told) > 1
    assert event_id(told[0]) == event_id(told[0])


@each_typed_example
def test_an_example_gets_headers_whatever_its_event(path: Path) -> None:
    headers = dict(headers_of(event_in(path), source="/services/any"))
    assert headers["ce_type"].decode() == path.parent.name
    assert headers["ce_time"]
