"""Completion by webhook, and without any."""

from __future__ import annotations

import statistics

from aiohttp import ClientSession
from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, Job, Road

from imagelane.contracts import topics
from imagelane.standin import journal
from imagelane.standin.timeline import timeline

pytestmark = ON_THE_ROAD

IDLE_SECONDS = 1.0


async def test_calls_follow_each_other_at_once_when_webhooks_come(
    road: Road, images: Images, notes: list[str]
) -> None:
    job = await road.submit("hooks-on", urls=images.urls(1_200, slow=True))
    await road.finished(job)
    prove(road, job)
    assert road.seen(topics.CALLBACKS, job)
    assert {"no-webhook"} != answers_to_webhooks(road, job) == {204}
    idle = idle_seconds(road, job)
    assert len(idle) >= 2
    notes.append(f"idle between calls with webhooks: {described(idle)}")
    assert statistics.median(idle) < IDLE_SECONDS


async def test_polling_finishes_a_job_whose_webhooks_are_lost(
    road: Road, images: Images, notes: list[str]
) -> None:
    await set_fault(road, "webhooks", "off")
    job = await road.submit("hooks-off", urls=images.urls(600, slow=True))
    await road.finished(job)
    await set_fault(road, "webhooks", "on")
    prove(road, job)
    assert not road.seen(topics.CALLBACKS, job)
    assert not answers_to_webhooks(road, job)
    notes.append(f"idle between calls, polling only: {described(idle_seconds(road, job))}")


async def set_fault(road: Road, name: str, value: str) -> None:
    control = road.stack.batch_api_url.removesuffix("/v1") + "/control/faults"
    async with ClientSession() as session, session.post(control, json={name: value}) as answer:
        answer.raise_for_status()


def answers_to_webhooks(road: Road, job: Job) -> set[object]:
    batches = {call.batch for call in road.calls(job.customer)}
    entries = journal.read(road.stack.journal)
    webhooks = [one for one in entries if one["kind"] == "webhook" and one["batch"] in batches]
    return {one.get("status") for one in webhooks}


def idle_seconds(road: Road, job: Job) -> list[float]:
    spans = timeline(journal.read(road.stack.journal))[job.customer]
    return [span.idle_seconds for span in spans if span.idle_seconds is not None]


def described(idle: list[float]) -> str:
    return f"median {statistics.median(idle):.3f} s, longest {max(idle):.3f} s, of {len(idle)}"
