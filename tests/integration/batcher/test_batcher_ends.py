"""Jobs that people and deadlines end, on a real broker: what comes first does not matter."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.batcher.conftest import (
    ModelDispatcher,
    Road,
    job_id,
    now,
    workers,
)
from tests.integration.dead_letters import letters_of
from tests.waiting import wait_until

from imagelane.contracts import codec
from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts.topics import FINISHED
from imagelane.platform.latest_records import read_records
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


def test_people_and_deadlines_end_jobs_whatever_comes_first(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    road, began = Road(kafka), now()
    running, cancelled, late, before, after = map(job_id, range(5))

    def accepted(customer_id: str, job: str, handed_in: float, deadline: float) -> e.JobAccepted:
        return e.JobAccepted(
            customer_id=customer_id,
            job_id=job,
            recipe="default",
            destination="default",
            occurred_at=now(),
            handed_in_at=began + timedelta(seconds=handed_in),
            deadline=began + timedelta(seconds=deadline),
        )

    with (
        workers(kafka, tmp_path, first_call_images="100") as (worker,),
        ModelDispatcher(road, call_seconds=3.0).at_work() as dispatcher,
    ):
        # A deletion of a customer, before anything is heard of its jobs.
        road.send(c.DeleteCustomer(customer_id="gone", decided_by="me", occurred_at=began))
        for job, handed_in in ((before, -1.0), (after, 1.0)):
            road.processed("gone", job, range(3))
            road.send(accepted("gone", job, handed_in, 1_000.0))
            road.sealed("gone", job, 10 if job == before else 3)
        # A call that runs, and a cancellation of what is not in it; for strangers it means nothing.
        road.processed("acme", running, range(100))
        wait_until(lambda: bool(dispatcher.calls), "a call")
        for customer_id in ("acme", "stranger"):
            command = c.CancelJob(
                customer_id=customer_id, job_id=running, decided_by="me", occurred_at=now()
            )
            road.send(command)
            road.send(command)
        road.processed("acme", running, range(100, 120))
        road.sealed("acme", running, 200)
        road.send(c.CancelJob(customer_id="x", job_id=cancelled, decided_by="m", occurred_at=now()))
        road.sealed("x", cancelled, 5)
        # A list that is never fully processed, and a deadline.
        road.send(accepted("slow", late, -1.0, 12.0))
        road.processed("slow", late, range(2), failed=[1])
        road.sealed("slow", late, 4)
        road.send_bytes("commands", b"acme", b'{"type":"cancel.job.v1"}')
        wait_until(lambda: len({one.job_id for one in dispatcher.finished}) == 5, "all have ended")
        letters_of(kafka, "commands", count=1)
        assert worker.process.poll() is None

    ends = {one.job_id: one for one in dispatcher.finished}
    told = {
        job: (one.delivered, one.failed, one.cancelled, one.cut_short_by)
        for job, one in ends.items()
    }
    assert told[running] == (100, 0, 100, "cancel")
    assert told[cancelled] == (0, 0, 5, "cancel")
    assert told[before] == (0, 0, 10, "delete")
    assert told[late] == (1, 1, 2, "deadline")
    assert (ends[after].delivered, ends[after].cancelled) == (3, 0)
    assert dispatcher.images_in_two_calls() == 0
    (letter,) = letters_of(kafka, "commands", count=1)
    assert json.loads(letter.value() or b"")["type"] == "cancel.job.v1"
    for message in read_records(kafka, FINISHED):
        event = codec.decode(FINISHED, message.value())
        assert event == ends[event.job_id]
