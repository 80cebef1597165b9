"""The files of `schemas/events` are the source of truth, and the structs say exactly the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from imagelane.contracts import schemas
from imagelane.contracts.schemas import EVENTS, event_file, normalised, schema_of
from imagelane.contracts.topic_files import schemas_folder

FOLDER = schemas_folder()
EXAMPLES = sorted((FOLDER / "examples").glob("*/*.json"))

WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**31, 2**63, 2**70),
    *("", "x", "acme\n", "a\u0000b", "a" * 3_000, "ä" * 255, "http://x", "tomorrow"),
    *("2026-11-21T10:00:00", "2026-11-21T10:00:00+01:00"),
    *([], ["x"], [{}], {}),
)
"""Not among them: `1.0` for an integer, which JSON Schema takes and the structs do not; a blank between
date and time, which it is the other way round."""


@pytest.mark.parametrize("name", EVENTS)
def test_a_struct_and_its_file_say_the_same(name: str) -> None:
    file = json.loads(event_file(FOLDER, name).read_text())
    assert normalised(schema_of(name)) == normalised(file), "see `make schemas`"


@pytest.mark.parametrize("name", EVENTS)
def test_a_schema_is_valid_draft_07(name: str) -> None:
    schema = json.loads(event_file(FOLDER, name).read_text())
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema_rs.meta.validate(schema)
    assert isinstance(jsonschema_rs.validator_for(schema), jsonschema_rs.Draft7Validator)


@pytest.mark.parametrize("name", EVENTS)
def test_a_schema_is_titled_and_open_and_explains_every_field(name: str) -> None:
    schema = json.loads(event_file(FOLDER, name).read_text())
    assert schema["title"] == name
    assert schema["$id"].endswith(name)
    for part in (schema, *schema.get("definitions", {}).values()):
        assert part["type"] == "object"
        assert part["description"]
        assert part.get("additionalProperties", True), "older readers must survive newer writers"
        for field, meaning in part["properties"].items():
            assert field == "type" or "description" in meaning or "$ref" in meaning, field


def test_no_schema_is_without_its_event() -> None:
    assert {path.stem for path in (FOLDER / "events").iterdir()} == set(EVENTS)


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place inside a JSON value."""
    below = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in below:
        yield (*at, name)
        if isinstance(one, dict | list):
            yield from places(one, (*at, name))


def changed(value: Any, at: tuple[str | int, ...], *new: Any) -> Any:
    """A copy of a JSON value with something else at a place, or nothing there at all."""
    copy = json.loads(json.dumps(value))
    holder = copy
    for name in at[:-1]:
        holder = holder[name]
    if new:
        holder[at[-1]] = new[0]
    else:
        del holder[at[-1]]
    return copy


ENTRANCES = {"urls", "list_url", "upload_sha256"}


def left_to_the_reader(event: str, at: tuple[str | int, ...]) -> bool:
    """A topic of one event does without its type; intake itself asks for one of the entrances."""
    return at[-1] == "type" or (event == schemas.LIST_SUBMITTED and at[0] in ENTRANCES)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_struct_and_schema_agree_on_what_is_wrong(path: Path) -> None:
    example, event = json.loads(path.read_text()), path.parent.name
    valid = jsonschema_rs.validator_for(json.loads(event_file(FOLDER, event).read_text())).is_valid
    decoder = msgspec.json.Decoder(EVENTS[event])

    def read(value: Any) -> bool:
        try:
            decoder.decode(json.dumps(value))
        except msgspec.ValidationError:
            return False
        return True

    for at in places(example):
        if not left_to_the_reader(event, at):
            without = changed(example, at)
            assert read(without) == valid(without), (at, "left out")
        for wrong in WRONG_VALUES:
            other = changed(example, at, wrong)
            assert read(other) == valid(other), (at, wrong)


def test_a_newline_at_the_end_is_part_of_a_customer_id_and_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="customer_id"):
        msgspec.json.decode(
            b'{"customer_id":"acme\\n","urls":["x"]}', type=EVENTS[schemas.LIST_SUBMITTED]
        )


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `schemas` in which one event has lost a field, and one file is missing."""
    folder = tmp_path / "schemas"
    for path in FOLDER.rglob("*.*"):
        if path.is_file():
            (folder / path.relative_to(FOLDER)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(FOLDER)).write_bytes(path.read_bytes())
    edited = event_file(folder, "lane.ticked.v1")
    schema = json.loads(edited.read_text())
    del schema["properties"]["occurred_at"]
    edited.write_text(json.dumps(schema))
    event_file(folder, "job.sealed.v1").unlink()
    monkeypatch.setattr(schemas, "schemas_folder", lambda: folder)
    return folder


def test_the_command_names_the_files_that_differ(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schemas.main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == [
        str(event_file(copy, "job.sealed.v1")),
        str(event_file(copy, "lane.ticked.v1")),
    ]


def test_the_command_prints_the_difference_as_a_patch(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = event_file(copy, "lane.ticked.v1").read_text()
    assert schemas.main(["--diff"]) == 1
    patch = capsys.readouterr().out
    assert "--- a/schemas/events/lane.ticked.v1.json" in patch
    assert '+    "occurred_at": {' in patch
    assert event_file(copy, "lane.ticked.v1").read_text() == before


def test_the_command_writes_what_is_missing_and_changes_no_schema(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = event_file(copy, "lane.ticked.v1").read_text()
    assert schemas.main(["--write"]) == 1
    assert json.loads(event_file(copy, "job.sealed.v1").read_text()) == schema_of("job.sealed.v1")
    assert event_file(copy, "lane.ticked.v1").read_text() == before
    assert "lane.ticked.v1.json: differs from its struct; kept" in capsys.readouterr().err


def test_the_command_is_content_with_the_files_as_they_are() -> None:
    assert schemas.main(["--check"]) == 0


def test_the_command_keeps_a_release_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("events", "examples", "topics", "asyncapi.yaml"):
        (tmp_path / name).symlink_to(FOLDER / name)
    monkeypatch.setattr(schemas, "schemas_folder", lambda: tmp_path)
    assert schemas.main(["--release", "9.9.9"]) == 0
    kept = tmp_path / "released" / "9.9.9"
    assert {path.name for path in kept.iterdir()} == {
        f"{name}.{ending}" for name in EVENTS for ending in ("json", "ndjson")
    }
    examples = list((FOLDER / "examples" / "lane.told.v1").iterdir())
    assert len((kept / "lane.told.v1.ndjson").read_bytes().splitlines()) == len(examples)
    with pytest.raises(SystemExit, match="there already"):
        schemas.main(["--release", "9.9.9"])


def test_nothing_is_kept_as_a_release_while_files_and_structs_disagree(copy: Path) -> None:
    assert schemas.main(["--release", "9.9.9"]) == 1
    assert not (copy / "released" / "9.9.9").exists()
