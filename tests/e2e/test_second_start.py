"""A second start on the same data folder goes on where the first one ended."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import options_at
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, started

from imagelane.contracts import topics

pytestmark = ON_THE_ROAD

IMAGES = 700
UNDER_WAY = 64


async def test_a_second_start_goes_on_where_the_first_one_ended(
    data: Path, images: Images, notes: list[str]
) -> None:
    async with started(options_at(data)) as first:
        job = await first.submit("again", urls=images.urls(IMAGES, slow=True))
        await first.until("a good part", lambda: len(first.seen(topics.PROCESSED, job)) >= 200)
        assert first.finish_of(job) is None
    async with started(options_at(data)) as second:
        await second.records.look_to_end()
        assert second.finish_of(job) is None
        await second.finished(job)
        outcomes = prove(second, job)
        assert len(outcomes[job].ok) == IMAGES
        requested = len(second.seen(topics.REQUESTED, job))
        fetched = len(second.seen(topics.DOWNLOADED, job))
        notes.append(f"second start: {requested} requests, {fetched} fetched, of {IMAGES} images")
        assert fetched - requested <= UNDER_WAY
        assert set(second.stack.supervisor.starts.values()) == {1}
