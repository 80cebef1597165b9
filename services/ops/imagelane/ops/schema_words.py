"""JSON Schemas in the words of a table: which kind of value a field holds, and which values it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]

_KINDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "JSON object",
}
_FORMATS: Final = {
    "date-time": "time",
    "duration": "duration",
    "path": "path",
    "file-path": "file",
    "directory-path": "folder",
    "password": "secret text",
}


def kind(schema: Schema) -> str:
    """What a value is, such as `text`, `list of whole number`, or a link to the part that it is."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}" if "items" in schema else "list"
    return _FORMATS.get(schema.get("format", ""), _KINDS.get(schema.get("type", ""), "anything"))


def bounds(schema: Schema) -> str:
    """Which values of its kind a field takes; empty if all of them."""
    if "enum" in schema:
        return ""
    parts = [*_limits(schema)]
    for one in schema.get("anyOf", []):
        parts += _limits(one)
    return ", ".join(parts)


def _limits(schema: Schema) -> Iterator[str]:
    if "exclusiveMinimum" in schema:
        yield f"more than {schema['exclusiveMinimum']}"
    yield from _span(schema.get("minimum"), schema.get("maximum"), "")
    if "exclusiveMaximum" in schema:
        yield f"less than {schema['exclusiveMaximum']}"
    yield from _span(schema.get("minLength"), schema.get("maxLength"), " characters")
    yield from _span(schema.get("minItems"), schema.get("maxItems"), " entries")
    if "pattern" in schema:
        yield f"`{schema['pattern']}`"


def _span(least: float | None, most: float | None, of: str) -> Iterator[str]:
    if least is not None and most is not None:
        yield f"{least} to {most}{of}"
    elif least == 1 and of:
        yield "not empty"
    elif least is not None:
        yield f"at least {least}{of}"
    elif most is not None:
        yield f"at most {most}{of}"


def plain(value: Any) -> str:
    """A default as somebody would type it."""
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Bars inside a cell are escaped, line breaks become blanks."""
    lines = [head, ["---"] * len(head), *rows]
    cells = (
        " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) for row in lines
    )
    return "".join(f"| {line} |\n" for line in cells)
