"""`GET /v1/openapi.json`: the API's own description, `schemas/openapi.yaml`.

Its paths are written by hand; the shapes of the answers follow from the structs, and
`python -m imagelane.gateway.openapi --write` puts them in.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from aiohttp import web

from imagelane.contracts.documents import yaml_document
from imagelane.contracts.parts import ListedImage
from imagelane.contracts.topic_files import schemas_folder
from imagelane.gateway.answers import (
    Commanded,
    JobAnswer,
    LaneAnswer,
    NotifySecrets,
    Submitted,
)
from imagelane.gateway.deciding import ReleaseWanted
from imagelane.gateway.problems import ProblemBody
from imagelane.tracking.views import (
    DeadLetter,
    Freshness,
    ImageResult,
    ImageTrail,
    JobStatus,
    LaneStatus,
)

STRUCTS: Final = (
    Submitted,
    Commanded,
    NotifySecrets,
    ReleaseWanted,
    ListedImage,
    JobStatus,
    JobAnswer,
    ImageTrail,
    ImageResult,
    LaneStatus,
    LaneAnswer,
    DeadLetter,
    Freshness,
    ProblemBody,
)
RENAMED: Final = {"ProblemBody": "Problem"}


class OpenApi:
    """Read once, and served to everybody: it tells nothing about anybody."""

    def __init__(self) -> None:
        self._body = msgspec.json.encode(msgspec.yaml.decode(openapi_file().read_bytes()))

    async def serve(self, _request: web.Request) -> web.Response:
        """The document as JSON."""
        return web.Response(body=self._body, content_type="application/json")


def openapi_file() -> Path:
    """Where the document lies."""
    return schemas_folder() / "openapi.yaml"


def with_answers(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the schemas of the structs, in place of those that it has under their names."""
    components = document["components"]
    schemas = {**components["schemas"], **_schemas()}
    return {**document, "components": {**components, "schemas": schemas}}


def text_of(document: dict[str, Any]) -> str:
    """The document as it stands in the file."""
    return yaml_document(document, width=120)


def _schemas() -> dict[str, Any]:
    _, found = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    for schema in found.values():
        schema.pop("title", None)
        schema["description"] = inspect.cleandoc(schema.get("description", ""))
    for before, after in RENAMED.items():
        found[after] = found.pop(before)
    # A job that was handed in a moment ago is told before the tracker knows it.
    found["JobAnswer"]["properties"]["status"]["enum"].append("submitted")
    named: dict[str, Any] = _in_terms_of_json_schema(dict(sorted(found.items())))
    return named


def _in_terms_of_json_schema(value: Any) -> Any:
    """Patterns end in `$` there, which means Python's end of the text."""
    if isinstance(value, list):
        return [_in_terms_of_json_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        word: one.replace(r"\Z", "$") if word == "pattern" else _in_terms_of_json_schema(one)
        for word, one in value.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where the file does not say what the code says."""
    parser = argparse.ArgumentParser(prog="imagelane.gateway.openapi", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="say whether the file is current")
    action.add_argument("--write", action="store_true", help="put the answers' shapes in")
    options = parser.parse_args(arguments)
    path = openapi_file()
    made = text_of(with_answers(yaml.safe_load(path.read_bytes())))
    if path.read_text() == made:
        return 0
    if options.write:
        path.write_text(made)
    sys.stderr.write(f"{path}: {'written' if options.write else 'not current'}\n")
    return 1 if options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
