"""How metrics are declared: each once, with its meaning; what is declared is what `/metrics` serves.

Every service has one `metrics.py` with a `METRICS`; those that several services share stand beside
this module. `docs/metrics.md` is made from them, and a test holds them against running services.

Labels never say anything about customers: no customer, job, URL or host. A label's values are a
closed set. Where it is a counter's only label, all of them exist from the start, so that the first
failure of a kind is an increase.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

Kind = Literal["counter", "gauge", "histogram"]

NAMESPACE: Final = "imagelane_"
TOTAL: Final = "_total"

MOMENTS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets in seconds for work of our own, and for steps of the brokers and stores beside us."""
FETCHES: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets in seconds for what other people's servers do."""
CALLS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
"""Buckets in seconds for whole calls, which may take hours."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric, as the reference tells it."""

    name: str
    kind: Kind
    meaning: str
    labels: Mapping[str, tuple[str, ...]]
    services: tuple[str, ...]

    @property
    def unit(self) -> str:
        """What is counted or measured: the last word of every name but those of flags."""
        return "0 or 1" if "_is_" in self.name else self.name.removesuffix(TOTAL).rsplit("_", 1)[-1]


class MetricList:
    """The metrics of one module. Names are whole, so that they can be searched for.

    Raises `ValueError` for a name that does not keep to Prometheus' conventions.
    """

    def __init__(self, *services: str, registry: CollectorRegistry = REGISTRY) -> None:
        """`services` are those that serve these metrics."""
        self._services = services
        self._registry = registry
        self.declared: list[Declared] = []

    def counter(self, name: str, meaning: str, **labels: Iterable[str]) -> Counter:
        """What only grows while the process lives; the name ends in `_total`."""
        names = self._declare(name, "counter", meaning, labels)
        made = Counter(name, meaning, names, registry=self._registry)
        for value in self._values():
            made.labels(value)
        return made

    def gauge(self, name: str, meaning: str, **labels: Iterable[str]) -> Gauge:
        """What goes up and down."""
        names = self._declare(name, "gauge", meaning, labels)
        return Gauge(name, meaning, names, registry=self._registry)

    def histogram(
        self, name: str, meaning: str, buckets: Sequence[float], **labels: Iterable[str]
    ) -> Histogram:
        """How often something took how long, or was how large."""
        names = self._declare(name, "histogram", meaning, labels)
        made = Histogram(name, meaning, names, registry=self._registry, buckets=buckets)
        for value in self._values():
            made.labels(value)
        return made

    def _declare(
        self, name: str, kind: Kind, meaning: str, labels: Mapping[str, Iterable[str]]
    ) -> list[str]:
        if not name.startswith(NAMESPACE) or name.endswith(TOTAL) is not (kind == "counter"):
            raise ValueError(f"{name} is no name for a {kind}")
        closed = {label: tuple(values) for label, values in labels.items()}
        self.declared.append(Declared(name, kind, meaning, closed, self._services))
        return list(closed)

    def _values(self) -> Sequence[str]:
        """The values of an only label; combinations of several come when they occur."""
        labels = self.declared[-1].labels
        return next(iter(labels.values())) if len(labels) == 1 else ()
