"""How two states of knowledge become one. Each join is idempotent, and no order matters to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def least(one: Any, other: Any) -> Any:
    """The smaller of what is known. An event that is told twice has two times: the first one counts."""
    if one is None:
        return other
    return one if other is None else min(one, other)


def greatest(one: Any, other: Any) -> Any:
    """The larger of what is known."""
    if one is None:
        return other
    return one if other is None else max(one, other)


def absorb_least(row: object, other: object, names: Iterable[str]) -> None:
    """Leaves the least of each named field in `row`."""
    for name in names:
        setattr(row, name, least(getattr(row, name), getattr(other, name)))


def absorb_greatest(row: object, other: object, names: Iterable[str]) -> None:
    """Leaves the greatest of each named field in `row`."""
    for name in names:
        setattr(row, name, greatest(getattr(row, name), getattr(other, name)))
