"""A lane that an API of level D leaves in doubt: seen, and released, from the command line."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from tests.integration.dispatcher.conftest import BatchServer, Rig, indexes
from typer.testing import CliRunner, Result

from imagelane.contracts.codec import decode, encode, key_of
from imagelane.contracts.commands import CancelJob
from imagelane.contracts.events import JobAccepted
from imagelane.contracts.parts import LaneDecision
from imagelane.contracts.topics import COMMANDS, JOBS
from imagelane.ops.cli import app
from imagelane.platform.latest_records import read_records

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_SECONDS: Final = 60.0


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No gateway is found in the folder of whoever runs the tests: the commands go over Kafka."""
    monkeypatch.chdir(tmp_path)


def run(rig: Rig, *arguments: str) -> Result:
    environment = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": rig.kafka.bootstrap_servers,
        "IMAGELANE_KAFKA__TOPIC_PREFIX": rig.kafka.topic_prefix,
        "IMAGELANE_KAFKA__STRICT_PARTITIONS": str(rig.kafka.strict_partitions),
        "IMAGELANE_KAFKA__SPREAD_PARTITIONS": str(rig.kafka.spread_partitions),
    }
    return CliRunner().invoke(app, list(arguments), env=environment)


async def command(rig: Rig, *arguments: str) -> Result:
    return await asyncio.to_thread(partial(run, rig, *arguments))


async def lanes(rig: Rig, *arguments: str) -> list[dict[str, Any]]:
    result = await command(rig, "lanes", *arguments, "--json")
    assert result.exit_code == 0, result.output
    shown: list[dict[str, Any]] = json.loads(result.stdout)
    return shown


async def held(rig: Rig, customer: str) -> None:
    """The customer's first call is in doubt: its answer was lost."""
    rig.request(customer, 1, range(5))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if [lane["state"] for lane in await lanes(rig)].count("held"):
            return
    pytest.fail("the lane was not held")


async def test_a_held_lane_is_shown_and_a_person_says_that_it_was_done(
    rig: Rig, api: BatchServer
) -> None:
    assert await lanes(rig) == []
    api.lose_answers = 1
    rig.start(capabilities="D")
    await held(rig, "acme/x")
    rig.request("other", 1, range(3))
    await rig.resolved("other", 1)

    (shown,) = await lanes(rig, "acme/x")
    assert (shown["state"], shown["seq"], shown["images"]) == ("held", 1, 5)
    assert shown["attempts"] == 1
    assert shown["hold_reason"]
    table = (await command(rig, "lanes")).stdout
    assert "acme/x" in table
    assert "1 lane is idle; --all shows it" in table
    assert "other" in (await command(rig, "lanes", "--all")).stdout

    wrong = await command(rig, "lanes", "release", "other", "--retry", "--yes")
    assert wrong.exit_code == 1
    assert "the lane of other is not held: it is idle, call 1" in wrong.stderr
    nobody = await command(rig, "lanes", "release", "nobody", "--retry", "--yes")
    assert "nobody has no lane" in nobody.stderr

    release = ("lanes", "release", "acme/x", "--treat-as-done", "--by", "kim", "--note", "saw it")
    result = await command(rig, *release, "--yes")
    assert result.exit_code == 0, result.output
    assert "5 images of call 1 ended as" in result.stdout
    call = await rig.resolved("acme/x", 1)
    assert indexes(call.jobs[0].delivered) == list(range(5))
    assert isinstance(call.decision, LaneDecision)
    assert (call.decision.decided_by, call.decision.note) == ("kim", "saw it")
    assert len(api.of("acme/x")) == 1
    assert await lanes(rig, "acme/x") != [shown]


async def test_a_person_has_a_held_call_sent_again(rig: Rig, api: BatchServer) -> None:
    api.lose_answers = 1
    rig.start(capabilities="D")
    await held(rig, "acme")
    result = await command(rig, "lanes", "release", "acme", "--retry", "--by", "kim", "--yes")
    assert result.exit_code == 0, result.output
    assert "call 1" in result.stdout
    call = await rig.resolved("acme", 1)
    assert call.images == 5


async def test_a_release_that_nobody_carries_out_is_told_and_waits_on_its_topic(
    rig: Rig, api: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagelane.ops.cli_lanes.WAIT_SECONDS", 1.0)
    api.lose_answers = 1
    worker = rig.start(capabilities="D")
    await held(rig, "acme")
    worker.terminate()
    await asyncio.to_thread(worker.wait, 30)
    result = await command(
        rig, "lanes", "release", "acme", "--treat-as-failed", "--by", "kim", "--yes"
    )
    assert result.exit_code == 1
    assert "no dispatcher has carried it out" in result.stderr
    rig.start(capabilities="D")
    call = await rig.resolved("acme", 1)
    assert indexes(call.jobs[0].failed) == list(range(5))


async def test_a_job_is_cancelled_by_its_id_alone(rig: Rig) -> None:
    job = "b" * 32
    assert (await command(rig, "cancel", job, "--by", "kim")).exit_code == 1
    accepted = JobAccepted(
        customer_id="中文/é",
        job_id=job,
        recipe="default",
        destination="default",
        occurred_at=datetime.now(UTC),
    )
    producer = Producer({"bootstrap.servers": rig.kafka.bootstrap_servers})
    producer.produce(rig.kafka.topic(JOBS), key=key_of(accepted), value=encode(accepted))
    assert producer.flush(30) == 0
    result = await command(rig, "cancel", job, "--by", "kim")
    assert result.exit_code == 0, result.output
    assert f"the job {job} of 中文/é" in result.stdout
    (message,) = await asyncio.to_thread(lambda: list(read_records(rig.kafka, COMMANDS)))
    assert message.partition() == rig.partition("中文/é")
    sent = decode(COMMANDS, message.value())
    assert isinstance(sent, CancelJob)
    assert (sent.customer_id, sent.job_id, sent.decided_by) == ("中文/é", job, "kim")
