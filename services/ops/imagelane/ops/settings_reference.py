"""`docs/configuration.md`: every setting of every service, from the settings classes themselves."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from pydantic_settings import BaseSettings

import imagelane
from imagelane.ops.schema_words import Schema, bounds, kind, plain, table
from imagelane.platform.settings import variable_of

_HEAD: Final = """\
# Configuration

Made from the settings classes by `python -m imagelane.ops.reference --write`.

Services take no arguments: every setting is an environment variable. All of them are checked before the first
connection; what is missing or wrong is named, and the service leaves with 2. `<NAME>` stands for a name of your own.
Lists and objects are JSON, such as `["10.0.0.0/8"]`.
Traces are switched on by OpenTelemetry's own variables, which begin with `OTEL_`: [traces.md](traces.md).
A setting that is shared is read by each of the services named above its table, so give it to all of them alike.
"""
_COLUMNS: Final = ("variable", "type", "default", "range", "meaning")


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable, as a row of the table."""

    variable: str
    kind: str
    default: str
    bounds: str
    meaning: str

    @property
    def row(self) -> tuple[str, ...]:
        """The cells, the variable as code."""
        return (f"`{self.variable}`", self.kind, self.default, self.bounds, self.meaning)


def settings_classes() -> dict[str, type[BaseSettings]]:
    """The `Settings` of each service that has one, by the service's name."""
    found = {}
    for module in pkgutil.iter_modules(imagelane.__path__):
        name = f"imagelane.{module.name}.settings"
        if find_spec(name) is None:
            continue
        settings = getattr(importlib.import_module(name), "Settings", None)
        if isinstance(settings, type) and issubclass(settings, BaseSettings):
            found[module.name] = settings
    return found


def settings_of(settings: type[BaseSettings]) -> Iterator[Setting]:
    """Every variable that the class reads, groups within groups included."""
    schema = settings.model_json_schema()
    yield from _walk(_inlined(schema, schema.get("$defs", {})), (), {})


def _inlined(schema: Any, groups: Schema) -> Any:
    """The same schema with every reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [_inlined(one, groups) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inlined = {word: _inlined(one, groups) for word, one in schema.items() if word != "$defs"}
    if "$ref" not in inlined:
        return inlined
    return _inlined(groups[inlined.pop("$ref").rsplit("/", 1)[-1]], groups) | inlined


def _walk(group: Schema, at: tuple[str, ...], defaults: Schema) -> Iterator[Setting]:
    """`defaults` are those of a group as a whole, where it has its own."""
    for name, field in group["properties"].items():
        place = (*at, name)
        default = defaults.get(name, field.get("default"))
        inner, named = _group_in(field), _named_groups_in(field)
        if inner is not None:
            yield from _walk(inner, place, default or {})
        elif named is not None:
            yield from _walk(named, (*place, "<NAME>"), {})
        else:
            required = name in group.get("required", []) and name not in defaults
            yield _setting(place, field, default, required=required)


def _group_in(field: Schema) -> Schema | None:
    """The group that a field is, or may be."""
    return next((one for one in (field, *field.get("anyOf", [])) if "properties" in one), None)


def _named_groups_in(field: Schema) -> Schema | None:
    """The group of which a field holds several, each by a name."""
    values = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
    return next((one for one in values if isinstance(one, dict) and "properties" in one), None)


def _setting(place: tuple[str, ...], field: Schema, default: Any, *, required: bool) -> Setting:
    if field.get("uniqueItems") and default:
        default = sorted(default)  # a set has no order, a page should have one
    shown = "none" if default in (None, {}, []) else plain(default)
    return Setting(
        variable=variable_of(place),
        kind=kind(field),
        default="**required**" if required else shown,
        bounds=bounds(field),
        meaning=field.get("description", ""),
    )


def page(classes: Mapping[str, type[BaseSettings]]) -> str:
    """The whole page: what all services share, what some share, what each has for itself."""
    readers: dict[Setting, list[str]] = {}
    for service, settings in sorted(classes.items()):
        for setting in settings_of(settings):
            readers.setdefault(setting, []).append(service)
    by_readers: dict[tuple[str, ...], list[Setting]] = {}
    for setting, names in readers.items():
        by_readers.setdefault(tuple(names), []).append(setting)
    sections = [_HEAD]
    for services in sorted(by_readers, key=lambda services: (-len(services), services)):
        title = "Every service" if len(services) == len(classes) > 1 else _listed(services)
        rows = [setting.row for setting in by_readers[services]]
        sections.append(f"## {title}\n\n{table(_COLUMNS, rows)}")
    return "\n".join(sections)


def _listed(services: Iterable[str]) -> str:
    *others, last = services
    return f"{', '.join(others)} and {last}" if others else last
