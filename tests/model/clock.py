"""Time as the model has it: one clock that only grows, and a wall clock that jumps.

The real code reads the clock, and throws dice, in a few places; `installed` puts this one there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

from imagelane.batcher.core.moment import Moment

START: Final = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """`seconds` is everybody's clock of growing time; the wall clock differs from it by `skew`."""

    seconds: float = 1_000.0
    skew: timedelta = timedelta()

    @property
    def at(self) -> datetime:
        return START + timedelta(seconds=self.seconds) + self.skew

    @property
    def moment(self) -> Moment:
        return Moment(self.seconds, self.at)


class _Current:
    """The clock and the dice of the world that was made last."""

    clock = Clock()
    luck = Random(0)

    @classmethod
    def now(cls, _zone: tzinfo) -> datetime:
        return cls.clock.at

    @classmethod
    def seconds(cls) -> float:
        return cls.clock.seconds

    @classmethod
    def random(cls) -> float:
        return cls.luck.random()


def new_clock() -> Clock:
    """A clock that the real code reads from now on."""
    _Current.clock, _Current.luck = Clock(), Random(0)
    return _Current.clock


@contextmanager
def installed() -> Iterator[None]:
    """The real code reads the newest world's clock, and does not sleep."""
    asleep = SimpleNamespace(sleep=lambda _seconds: None, monotonic=_Current.seconds)
    replaced: dict[str, object] = {
        "imagelane.dispatcher.turn.datetime": _Current,
        "imagelane.dispatcher.turn.random": _Current,
        "imagelane.dispatcher.owner.boot_seconds": _Current.seconds,
        "imagelane.dispatcher.ownership.boot_seconds": _Current.seconds,
        "imagelane.dispatcher.owner.time": asleep,
    }
    with ExitStack() as stack:
        for name, replacement in replaced.items():
            stack.enter_context(patch(name, replacement))
        yield
