"""Topics that change under a running dispatcher: every lane holds, says why, and nothing is sent."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    NewPartitions,
    NewTopic,
)
from tests.integration.dispatcher.conftest import BatchServer, Rig
from tests.waiting import eventually, wait_until

from imagelane.contracts.topics import BATCHES, CALLBACKS, CALLS

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

WRONG_TOPICS = 76
NOTICED_SECONDS = 12.0
QUIET_SECONDS = 3.0


def admin_of(rig: Rig) -> AdminClient:
    return AdminClient({"bootstrap.servers": rig.kafka.bootstrap_servers, "log_level": 0})


def delete(rig: Rig, topic: str) -> None:
    admin, name = admin_of(rig), rig.kafka.topic(topic)
    admin.delete_topics([name])[name].result(30)
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics)


def make_anew(rig: Rig, topic: str) -> None:
    delete(rig, topic)
    admin, name = admin_of(rig), rig.kafka.topic(topic)
    config = {"retention.ms": "2592000000"} if topic == BATCHES else {}
    wanted = NewTopic(name, rig.kafka.strict_partitions, 1, config=config)
    admin.create_topics([wanted])[name].result(30)


async def stands_still(rig: Rig, api: BatchServer, worker: subprocess.Popen[bytes]) -> None:
    """Nothing is sent any more, whatever is asked for."""
    sent = len(api.posts)
    for customer in rig.customers(8):
        rig.request(customer, 2, range(10, 15))
    await asyncio.sleep(QUIET_SECONDS)
    assert len(api.posts) == sent
    assert worker.poll() in (None, WRONG_TOPICS)


def reasons(rig: Rig, worker: subprocess.Popen[bytes]) -> list[str]:
    lines = map(json.loads, rig.log_of(worker).splitlines())
    return [line["reason"] for line in lines if line["event"] in ("lanes.held", "topology.differs")]


@pytest.mark.parametrize("topic", [CALLS, BATCHES])
async def test_the_lanes_hold_as_soon_as_a_topic_of_theirs_has_grown(
    topic: str, rig: Rig, api: BatchServer
) -> None:
    worker = rig.start()
    for customer in rig.customers(8):
        rig.request(customer, 1, range(5))
    await rig.resolved("customer-0", 1)
    admin, name = admin_of(rig), rig.kafka.topic(topic)
    admin.create_partitions([NewPartitions(name, 6)])[name].result(30)
    await eventually(lambda: reasons(rig, worker), within_seconds=NOTICED_SECONDS)
    await stands_still(rig, api, worker)
    said = f"{name} has 6 partitions, IMAGELANE_KAFKA__STRICT_PARTITIONS says 4"
    assert reasons(rig, worker) == [said]
    assert "log.end_unknown" not in rig.log_of(worker)  # it waits for no log that there is not
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 15) == 0


async def test_the_lanes_hold_when_their_input_was_deleted_and_made_anew(
    rig: Rig, api: BatchServer
) -> None:
    worker = rig.start()
    for customer in rig.customers(8):
        rig.request(customer, 1, range(5))
    await rig.resolved("customer-0", 1)
    await asyncio.to_thread(make_anew, rig, BATCHES)
    await eventually(lambda: reasons(rig, worker), within_seconds=NOTICED_SECONDS)
    await stands_still(rig, api, worker)
    again = rig.start("two")
    assert await asyncio.to_thread(again.wait, 30) == WRONG_TOPICS
    assert f"{rig.kafka.topic(BATCHES)} was deleted and made anew" in reasons(rig, again)[0]


async def test_the_lanes_hold_while_a_topic_is_missing_and_name_it(
    rig: Rig, api: BatchServer
) -> None:
    worker = rig.start()
    rig.request("customer-0", 1, range(5))
    await rig.resolved("customer-0", 1)
    await asyncio.to_thread(delete, rig, CALLBACKS)
    await eventually(lambda: reasons(rig, worker), within_seconds=NOTICED_SECONDS)
    await stands_still(rig, api, worker)
    assert f"{rig.kafka.topic(CALLBACKS)} is missing" in reasons(rig, worker)[0]


async def test_a_worker_of_another_deployment_leaves_and_ours_goes_on(
    rig: Rig, api: BatchServer
) -> None:
    rig.start()
    rig.environment["DEPLOYMENT_ID"] = "second"
    second = rig.start("two")
    assert await asyncio.to_thread(second.wait, 30) == WRONG_TOPICS
    assert "IMAGELANE_DEPLOYMENT_ID says 'second'" in reasons(rig, second)[0]
    for customer in rig.customers(4):
        rig.request(customer, 1, range(5))
    for customer in rig.customers(4):
        await rig.resolved(customer, 1)
    assert len(api.journal) == 4
