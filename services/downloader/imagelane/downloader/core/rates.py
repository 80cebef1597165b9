"""Rates that an operator has set for a domain: its hosts together get no more requests a second."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

BURST_SECONDS: Final = 0.1  # what a late timer may make up for


class Rate:
    """Requests of one domain. All times are of one monotonic clock, in seconds."""

    __slots__ = ("free_at", "requests_per_second")

    def __init__(self, requests_per_second: float) -> None:
        self.requests_per_second = requests_per_second
        self.free_at = -inf
        """When the next request may start."""

    def started(self, now: float) -> None:
        """A request has started."""
        self.free_at = max(self.free_at, now - BURST_SECONDS) + 1.0 / self.requests_per_second


def rated_domain(host: str, rates: Mapping[str, float]) -> str | None:
    """The longest domain with a rate that the host is, or lies below."""
    domain = host.removesuffix(".") if rates else ""
    while domain:
        if domain in rates:
            return domain
        domain = domain.partition(".")[2]
    return None
