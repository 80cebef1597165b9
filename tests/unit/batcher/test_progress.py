"""A process that gets nowhere leaves, so that a fresh one may do better; one that has nothing to do stays."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from aiokafka.errors import KafkaError
from faust.types import TP

from imagelane.batcher import watch
from imagelane.batcher.clock import now
from imagelane.batcher.core.order import Place
from imagelane.batcher.leaving import Exit
from imagelane.batcher.watch import watch_progress

LIMIT_SECONDS = 0.04


class LeftError(Exception):
    """The process would have ended."""


def leaves(code: int, *_why: object, **_fields: object) -> NoReturn:
    raise LeftError(code)


@dataclass
class Scene:
    """One partition of an input, of which `waiting` records are not taken."""

    waiting: int = 5
    is_open: bool = True
    moves: bool = False
    answers: bool = True
    shut_since_seconds: float = field(default_factory=lambda: now().seconds)
    _at: int = 10

    @property
    def guard(self) -> Any:
        self._at += self.moves
        return SimpleNamespace(positions={Place("jobs", 1): self._at})

    async def highwaters(self, *places: TP) -> dict[TP, int]:
        if not self.answers:
            raise KafkaError
        return dict.fromkeys(places, self._at + self.waiting)

    async def watched(self, seconds: float) -> None:
        app: Any = SimpleNamespace(consumer=self)
        async with asyncio.timeout(seconds):
            await watch_progress(app, cast(Any, self), LIMIT_SECONDS)


@pytest.fixture(autouse=True)
def _leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "leave", leaves)


@pytest.mark.parametrize("scene", [Scene(), Scene(is_open=False)])
async def test_records_that_wait_or_a_gate_that_stays_shut_end_the_process(scene: Scene) -> None:
    with pytest.raises(LeftError, match=str(int(Exit.NO_PROGRESS))):
        await scene.watched(10.0)


@pytest.mark.parametrize("scene", [Scene(waiting=0), Scene(moves=True), Scene(answers=False)])
async def test_progress_rest_or_a_broker_that_is_away_end_nothing(scene: Scene) -> None:
    with pytest.raises(TimeoutError):
        await scene.watched(10 * LIMIT_SECONDS)
