"""The gate between two versions of one event's schema: it may gain optional fields, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_WORDS: Final = frozenset({"title", "description", "$comment", "examples"})
_NAMED: Final = frozenset({"properties", "definitions"})


def breaks(released: Schema, now: Schema, where: str = "") -> Iterator[str]:
    """What `now` does that a reader or a writer of `released` may not survive, a sentence each.

    Widening a field is refused as well: an older reader would not know the new values.
    """
    for keyword in sorted((released.keys() | now.keys()) - _WORDS):
        before, after = released.get(keyword), now.get(keyword)
        if keyword in _NAMED:
            yield from _changed_names(before or {}, after or {}, where)
        elif keyword == "required":
            yield from _changed_requirements(before or [], after or [], where)
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from breaks(before, after, f"{where}/{keyword}")
        elif before != after:
            yield f"{where or '/'}: {keyword} was {before!r} and is {after!r}"


def _changed_names(before: Schema, after: Schema, where: str) -> Iterator[str]:
    for name, schema in before.items():
        if name in after:
            yield from breaks(schema, after[name], f"{where}/{name}")
        else:
            yield f"{where}/{name}: removed"


def _changed_requirements(before: list[str], after: list[str], where: str) -> Iterator[str]:
    for name in sorted(set(after) - set(before)):
        yield f"{where}/{name}: newly required"
    for name in sorted(set(before) - set(after)):
        yield f"{where}/{name}: no longer required"
