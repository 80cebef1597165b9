"""The JSON Schemas of all events, made from the structs, and the files that must say the same.

`python -m imagelane.contracts.schemas --check` fails where a file of `schemas/events` and its struct
disagree; `--diff` prints the difference, ready for `git apply`. The files are the source of truth:
no option changes one of them.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from imagelane.contracts import asyncapi
from imagelane.contracts import events as e
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.contracts.topics import EVENTS_OF

LIST_SUBMITTED: Final = "list.submitted.v1"

EVENTS: Final[dict[str, type[msgspec.Struct]]] = {LIST_SUBMITTED: e.ListSubmitted} | {
    str(event.__struct_config__.tag): event for events in EVENTS_OF.values() for event in events
}
"""Every event by its type."""

_BEYOND_STRUCTS: Final[dict[str, dict[str, Any]]] = {
    # Intake refuses a list that breaks this, with a reason, so its struct must still take one in.
    LIST_SUBMITTED: {
        "oneOf": [
            {"required": ["urls"]},
            {"required": ["list_url"]},
            {"required": ["upload_sha256"]},
        ]
    },
}


def schema_of(name: str) -> dict[str, Any]:
    """The draft-07 schema of the event of this type."""
    struct = EVENTS[name]
    exported = msgspec.json.schema(struct, ref_template="#/definitions/{name}")
    definitions = _in_terms_of_json_schema(exported["$defs"])
    for definition in definitions.values():
        definition["description"] = inspect.cleandoc(definition["description"])
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": f"urn:imagelane:event:{name}",
        **definitions.pop(struct.__name__),
        "title": name,
        **_BEYOND_STRUCTS.get(name, {}),
    }
    return {**schema, "definitions": definitions} if definitions else schema


def _in_terms_of_json_schema(exported: Any) -> Any:
    """Patterns are regular expressions of ECMAScript there: the end is `$`, never before a newline."""
    if isinstance(exported, list):
        return [_in_terms_of_json_schema(one) for one in exported]
    if not isinstance(exported, dict):
        return exported
    return {
        word: value.replace(r"\Z", "$") if word == "pattern" else _in_terms_of_json_schema(value)
        for word, value in exported.items()
    }


def normalised(schema: Any) -> Any:
    """The same schema with those lists sorted whose order means nothing, for comparison."""
    if isinstance(schema, list):
        return [normalised(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        keyword: sorted(value) if keyword in {"required", "enum"} else normalised(value)
        for keyword, value in schema.items()
    }


def text_of(document: Any) -> str:
    """A JSON document as it stands in a file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def event_file(folder: Path, name: str) -> Path:
    """Where the schema of an event lies."""
    return folder / "events" / f"{name}.json"


def differences(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """Path, text of the file, text that it should have, of each file that says something else."""
    for name in EVENTS:
        path, made = event_file(folder, name), schema_of(name)
        text = path.read_text() if path.exists() else ""
        if not text or normalised(json.loads(text)) != normalised(made):
            yield path, text, text_of(made)
    path, made_text = folder / "asyncapi.yaml", asyncapi_text(folder)
    text = path.read_text() if path.exists() else ""
    if text != made_text:
        yield path, text, made_text


def asyncapi_text(folder: Path) -> str:
    """The AsyncAPI document that follows from the schemas, the topic files and the examples."""
    return asyncapi.document(read_topic_files(folder), asyncapi.examples_in(folder))


def _diff(folder: Path) -> str:
    lines: list[str] = []
    for path, text, made in differences(folder):
        name = path.relative_to(folder.parent)
        lines += difflib.unified_diff(
            text.splitlines(keepends=True),
            made.splitlines(keepends=True),
            f"a/{name}" if text else "/dev/null",
            f"b/{name}",
        )
    return "".join(lines)


def _write(folder: Path) -> None:
    """Files that are missing, and the AsyncAPI document, which is derived and nobody's source."""
    for path, text, made in differences(folder):
        if text and path.suffix == ".json":
            sys.stderr.write(f"{path}: differs from its struct; kept, see --diff\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made)
            sys.stderr.write(f"{path}: written\n")


def _release(folder: Path, version: str) -> None:
    """Keeps today's schemas, and the bytes of every example today, for the gate of later versions."""
    release = folder / "released" / version
    try:
        release.mkdir(parents=True)
    except FileExistsError:
        raise SystemExit(f"{release}: is there already, and a release never changes") from None
    for name, event in EVENTS.items():
        (release / f"{name}.json").write_bytes(event_file(folder, name).read_bytes())
        examples = sorted((folder / "examples" / name).glob("*.json"))
        lines = [
            msgspec.json.encode(msgspec.json.decode(path.read_bytes(), type=event)) + b"\n"
            for path in examples
        ]
        (release / f"{name}.ndjson").write_bytes(b"".join(lines))


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where files and structs disagree."""
    parser = argparse.ArgumentParser(prog="imagelane.contracts.schemas", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="name the files that differ")
    action.add_argument("--diff", action="store_true", help="print how they differ, as a patch")
    action.add_argument(
        "--write", action="store_true", help="write files that are missing, and asyncapi.yaml"
    )
    action.add_argument("--release", metavar="VERSION", help="keep today's state for the gate")
    options = parser.parse_args(arguments)
    folder = schemas_folder()
    if options.write:
        _write(folder)
    elif options.diff:
        sys.stdout.write(_diff(folder))
    wrong = [path for path, _, _ in differences(folder)]
    for path in wrong:
        sys.stderr.write(f"{path}: does not say what the code says\n")
    if not wrong and options.release:
        _release(folder, options.release)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
