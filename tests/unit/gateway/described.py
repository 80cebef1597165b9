"""Holds every answer of a test against `schemas/openapi.yaml`: status, headers, media type and shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs
import yaml
from yarl import URL

from imagelane.gateway.openapi import openapi_file

METHODS = ("get", "post", "put", "delete", "patch")


@cache
def document() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(openapi_file().read_bytes())
    return made


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation."""
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fails for what the document does not say."""
    if method == "HEAD" or (operation := _operation(method, path)) is None:
        return
    described = operation["responses"].get(str(status))
    assert described is not None, f"{method} {path}: {status} is not described"
    described = _followed(described)
    for name, header in described.get("headers", {}).items():
        assert name in headers, f"{method} {path}: {status} without {name}"
        validator(header["schema"]).validate(headers[name])
    media = headers.get("Content-Type", "").partition(";")[0]
    content = described.get("content", {})
    if not content:
        assert body == b""
        return
    assert media in content or "image/*" in content, f"{method} {path}: {media} is not described"
    schema = content.get(media, {}).get("schema")
    if media in {"application/json", "application/problem+json"}:
        validator(schema).validate(json.loads(body))
    elif media == "application/x-ndjson":
        for line in body.splitlines():
            validator(schema).validate(json.loads(line))


def exactly(url: str) -> URL:
    """A URL that the client sends as it is written."""
    return URL(url, encoded=True)


def validator(schema: dict[str, Any]) -> Any:
    return _validator(json.dumps(schema, sort_keys=True))


@cache
def _validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": {"schemas": _closed_schemas()}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@cache
def _closed_schemas() -> Any:
    """Open to what is added later for clients; for us, what is not described does not belong there."""
    return _closed(document()["components"]["schemas"])


def _closed(value: Any) -> Any:
    if isinstance(value, list):
        return [_closed(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: _closed(one) for name, one in value.items()}
    if value.get("type") == "object" and "properties" in value:
        made.setdefault("additionalProperties", False)
    return made


def _followed(described: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in described:
        found: Any = document()
        for part in described["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        described = found
    return described


def _operation(method: str, path: str) -> dict[str, Any] | None:
    plain = path.partition("?")[0]
    for known, template, operation in sorted(operations(), key=lambda one: "{" in one[1]):
        if known == method and _matcher(template).fullmatch(plain):
            return operation
    return None


@cache
def _matcher(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", template)
    patterns = {"{key}": ".+"}
    return re.compile(
        "".join(
            patterns.get(part, "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )
