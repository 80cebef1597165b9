"""`docs/metrics.md`: every metric of every service, from where they are declared."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Final

import imagelane
import imagelane.platform
from imagelane.ops.schema_words import table
from imagelane.platform.metrics import Declared, MetricList

_HEAD: Final = """\
# Metrics

Made from the services' lists by `python -m imagelane.ops.reference --write`.

Every service serves them at `/metrics` of its health port, `IMAGELANE_HEALTH__PORT`, for Prometheus, next to what its
client library tells of the process (`process_…`, `python_…`). A worker tells of itself only, so sum over workers.
Scraping adds `job`, `service` and `pod` ([deploying.md](deploying.md#watching-it)).
No label says anything about customers: not who, which job, which URL or which host.
A histogram is also its `_count` and `_sum`. Counters begin at 0 with each start of a process: look at their `rate()`.
"""
_COLUMNS: Final = ("metric", "type", "unit", "labels", "meaning")
_MOST_VALUES: Final = 8


def declared() -> list[Declared]:
    """All metrics, in the order of their declaration in each module."""
    modules = {f"imagelane.{one.name}.metrics" for one in pkgutil.iter_modules(imagelane.__path__)}
    modules |= {
        f"imagelane.platform.{one.name}"
        for one in pkgutil.iter_modules(imagelane.platform.__path__)
        if one.name.startswith("metrics_")
    }
    return [one for module in sorted(modules) for one in _declared_in(module)]


def _declared_in(module: str) -> Iterator[Declared]:
    if find_spec(module) is None:
        return
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, MetricList):
            yield from value.declared


def page(metrics: Iterable[Declared]) -> str:
    """The whole page: what several services tell, then each service's own."""
    by_services: dict[tuple[str, ...], list[Declared]] = {}
    for one in metrics:
        by_services.setdefault(one.services, []).append(one)
    sections = [_HEAD]
    for services in sorted(by_services, key=lambda names: (-len(names), names)):
        rows = [_row(one) for one in by_services[services]]
        sections.append(f"## {_listed(services)}\n\n{table(_COLUMNS, rows)}")
    return "\n".join(sections)


def _row(one: Declared) -> tuple[str, ...]:
    labels = "; ".join(f"`{label}`: {_values(values)}" for label, values in one.labels.items())
    return f"`{one.name}`", one.kind, one.unit, labels, one.meaning


def _values(values: tuple[str, ...]) -> str:
    if not values:
        return "see there"
    shown = [f"`{value}`" for value in values[:_MOST_VALUES]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _listed(services: Iterable[str]) -> str:
    *others, last = (one.capitalize() for one in services)
    return f"{', '.join(others)} and {last}" if others else last
