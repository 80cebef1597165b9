"""From a stop on: four seconds for an idle dispatcher, longer while an answer is under way, within bounds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from imagelane.dispatcher import ending


@dataclass
class End:
    begun: int = 0

    def within(self, seconds: float) -> None:
        assert seconds == ending.REST_SECONDS
        self.begun += 1


@pytest.mark.parametrize(("sent_after", "begun"), [(0, 1), (3, 4), (1_000_000, 2)])
async def test_the_time_begins_anew_while_a_request_is_under_way_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, sent_after: int, begun: int
) -> None:
    monkeypatch.setattr(ending, "SENDING_SECONDS", 0.3)
    monkeypatch.setattr(ending, "LOOK_SECONDS", 0.001)
    stop, end, looks = asyncio.Event(), End(), iter(range(2_000_000))
    watching = asyncio.create_task(ending.end_in_time(stop, end, lambda: next(looks) < sent_after))
    await asyncio.sleep(0.01)
    assert end.begun == 0
    stop.set()
    await asyncio.wait_for(watching, 30)
    assert end.begun >= begun
    assert sent_after > 3 or end.begun == begun
