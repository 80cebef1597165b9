"""What a fetch of Faust's may take: only what it was begun for, whatever becomes of Faust's own set."""

from __future__ import annotations

from faust.types import TP

from imagelane.batcher.faust_app import LaneConsumer

CHANGELOG = TP("lanes-changelog", 0)
INPUT = TP("completed", 0)


class Fetcher:
    """Stands for Faust's thread: while a fetch waits, it pauses what the fetch was begun for."""

    def __init__(self, active: set[TP]) -> None:
        self._active = active

    async def getmany(self, wanted: set[TP] | None, _timeout: float) -> dict[TP, list[str]]:
        """As aiokafka does it: nothing wanted means everything."""
        self._active.clear()
        return {tp: ["record"] for tp in (CHANGELOG, INPUT) if not wanted or tp in wanted}


async def test_a_fetch_for_the_changelog_takes_no_input_when_its_recovery_ends_meanwhile() -> None:
    active = {CHANGELOG}
    consumer: LaneConsumer = object.__new__(LaneConsumer)
    vars(consumer)["_thread"] = Fetcher(active)
    assert set(await consumer._getmany(active, timeout=1.0)) == {CHANGELOG}
