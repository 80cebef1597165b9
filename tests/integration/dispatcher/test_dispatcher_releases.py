"""People decide about held lanes, over Kafka: once, for the call that is held, and it can be seen afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from tests.integration.dispatcher.conftest import JOB, BatchServer, Rig, indexes, urls
from tests.waiting import eventually

from imagelane.contracts.commands import CancelJob, DeleteCustomer, ReleaseLane

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

Decision = Literal["retry", "treat_as_done", "treat_as_failed"]


def decide(rig: Rig, customer: str, decision: Decision, seq: int = 1) -> None:
    rig.send(
        ReleaseLane(
            customer_id=customer,
            seq=seq,
            decision=decision,
            decided_by="kim",
            occurred_at=datetime.now(UTC),
            note="looked it up",
        )
    )


def lines(log: str, event: str) -> list[dict[str, Any]]:
    """The log's lines of this event."""
    return [one for one in map(json.loads, log.splitlines()) if one.get("event") == event]


async def test_a_held_call_goes_on_as_a_person_decides(rig: Rig, api: BatchServer) -> None:
    """At level D, where every lost answer asks a person."""
    api.lose_answers = 3
    decisions: dict[str, Decision] = {
        "again": "retry",
        "done": "treat_as_done",
        "failed": "treat_as_failed",
    }
    process = rig.start(capabilities="D")
    for customer in decisions:
        rig.request(customer, 1, range(3))
    await eventually(lambda: len(lines(rig.log_of(process), "lane.held")) == 3)
    for held in lines(rig.log_of(process), "lane.held"):
        assert "Nobody can tell whether the API took the call" in held["reason"]
    now = datetime.now(UTC)
    rig.send(CancelJob(customer_id="done", job_id=JOB, decided_by="kim", occurred_at=now))
    rig.send(DeleteCustomer(customer_id="done", decided_by="kim", occurred_at=now))
    for customer, decision in decisions.items():
        decide(rig, customer, decision, seq=2)  # nobody knows of a second call yet
        decide(rig, customer, decision)
    ends = {customer: await rig.resolved(customer, 1) for customer in decisions}
    statuses = {customer: end.status for customer, end in ends.items()}
    assert statuses == {"again": "completed", "done": "completed", "failed": "failed"}
    for customer, end in ends.items():
        assert end.decision
        assert (end.decision.decision, end.decision.decided_by) == (decisions[customer], "kim")
    assert indexes(ends["done"].jobs[0].delivered) == [0, 1, 2]
    assert indexes(ends["failed"].jobs[0].failed) == [0, 1, 2]
    keys = [api.posts.count(batch.reference) for batch in api.journal]
    assert sorted(keys) == [1, 1, 2]  # only what was to be sent again was, under its own key
    refused = lines(rig.log_of(process), "lane.release_refused")
    assert [one["refusal"] for one in refused] == ["the call that is held is 1"] * 3
    released = lines(rig.log_of(process), "lane.released")
    assert {(one["customer_id"], one["decision"]) for one in released} == set(decisions.items())
    assert {(one["decided_by"], one["note"]) for one in released} == {("kim", "looked it up")}
    for customer in decisions:
        rig.request(customer, 2, range(2, 5))
        await rig.resolved(customer, 2)
        assert api.urls_of(customer) == urls(range(5))


async def test_a_call_that_takes_far_too_long_is_told_of_and_not_made_again(
    rig: Rig, api: BatchServer
) -> None:
    process = rig.start(overdue_factor=2, overdue_floor_seconds=0.5)
    api.seconds = 4.0
    rig.request("acme", 1, range(3))
    await rig.resolved("acme", 1)
    (overdue,) = lines(rig.log_of(process), "lane.overdue")
    assert (overdue["level"], overdue["seq"], overdue["call_id"]) == (
        "error",
        1,
        api.journal[0].id,
    )
    assert len(api.posts) == 1
