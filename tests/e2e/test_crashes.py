"""Every process is killed once in the middle of a job. The sweep is off: nothing may be lost at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, Job, Road

from imagelane.contracts import topics

pytestmark = ON_THE_ROAD

IMAGES: Final = 700
Moment = Callable[[Road, Job], bool]


def between(topic: str, first: int, last: int) -> Moment:
    """While the topic has so many of the customer's images."""
    return lambda road, job: first <= len(road.seen(topic, job)) <= last


def calling(road: Road, job: Job) -> bool:
    """While the batch API works on a call of the customer's."""
    return any(call.ended is None for call in road.calls(job.customer))


MOMENTS: Final[dict[str, Moment]] = {
    "intake": between(topics.REQUESTED, 1, IMAGES - 1),
    "downloader": between(topics.DOWNLOADED, 100, IMAGES - 200),
    "processor": between(topics.PROCESSED, 100, IMAGES - 200),
    "batcher": between(topics.PROCESSED, 100, IMAGES - 200),
    "dispatcher": calling,
    "gateway": calling,
    "kafka": between(topics.PROCESSED, 100, IMAGES - 200),
}


@pytest.mark.parametrize("victim", MOMENTS)
async def test_a_killed_process_loses_and_doubles_nothing(
    road: Road, images: Images, notes: list[str], victim: str
) -> None:
    job = await road.submit(f"kill-{victim}", urls=images.urls(IMAGES, slow=True))
    await road.until("the middle of the job", lambda: MOMENTS[victim](road, job))
    time = asyncio.get_running_loop().time
    killed_at = time()
    await road.kill(victim)
    assert road.finish_of(job) is None
    await road.finished(job)
    notes.append(f"{victim} killed: the job ended {time() - killed_at:.1f} s later")

    outcomes = prove(road, job)
    assert len(outcomes[job].ok) == IMAGES
    if victim == "kafka":
        road.forgive()  # without a broker a service may leave and be started anew


async def test_a_dispatcher_killed_before_it_tells_of_a_call_tells_it_afterwards(
    road: Road, images: Images
) -> None:
    marker = road.stack.options.data / "failpoint"
    starts = road.stack.supervisor.starts["dispatcher"]
    marker.unlink()
    job = await road.submit("untold", urls=images.urls(120))
    await road.until("the dispatcher's death", marker.exists)
    await road.finished(job)
    assert road.stack.supervisor.starts["dispatcher"] == starts + 1
    road.killed["dispatcher"] += 1

    outcomes = prove(road, job)
    assert len(outcomes[job].ok) == 120
