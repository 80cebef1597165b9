"""Faults of topics: grown, deleted, made anew, emptied, shared with another deployment. In doubt, nothing is sent."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Final

import aiohttp
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported
    AdminClient,
    NewPartitions,
)
from tests.chaos.system import System
from tests.chaos.trial import Fault, Trial

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops import topics
from imagelane.platform.topology import expected_of

GROWN: Final = 16
NOTICED_SECONDS: Final = 12.0
QUIET_SECONDS: Final = 10.0
LOAD_SECONDS: Final = 1.0
CHANGELOG: Final = "imagelane-batcher-lanes-changelog"
FREE_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.2
TOLD_SECONDS: Final = 30.0


def admin_of(system: System) -> AdminClient:
    """A client."""
    return AdminClient({"bootstrap.servers": system.stack.kafka.bootstrap_servers, "log_level": 0})


async def grown(trial: Trial, topic: str) -> None:
    """An operator gives a topic of the lanes more partitions while lists come in."""
    system = trial.system
    trial.load(customers=6, images=60)
    await system.until("calls", lambda: system.posts(trial.customers) >= 3)
    admin = admin_of(system)
    grown_to = admin.create_partitions([NewPartitions(topic, GROWN)])
    await asyncio.to_thread(grown_to[topic].result, 30)
    await nothing_is_sent(trial, f"{topic} has {GROWN} partitions")
    await gateway_tells(system, topic)


async def made_anew(trial: Trial, topic: str) -> None:
    """An operator deletes a topic of the lanes and makes it again, empty."""
    system = trial.system
    trial.load(customers=6, images=60)
    await system.until("calls", lambda: system.posts(trial.customers) >= 3)

    await asyncio.to_thread(make_anew, system, topic)
    await nothing_is_sent(trial, f"{topic} was made anew")
    await gateway_tells(system, topic)


async def nothing_is_sent(trial: Trial, what: str) -> None:
    """From the moment by which it must have been noticed on, whatever comes in."""
    system, changed_at = trial.system, time.monotonic()
    system.note(what)
    while time.monotonic() < changed_at + NOTICED_SECONDS + QUIET_SECONDS:
        trial.submit(f"c{trial.random.randrange(6)}", 45)
        await asyncio.sleep(LOAD_SECONDS)
    quiet = {"from": changed_at + NOTICED_SECONDS, "to": time.monotonic()}
    system.history.write("quiet", customers=sorted(trial.customers), **quiet)
    trial.healed()


async def gateway_tells(system: System, topic: str) -> None:
    """Waits until whoever asks for the lanes is told that all stand still, and because of which topic."""
    headers = {"Authorization": system.bearer}
    url = f"{system.stack.gateway_url}/v1/lanes"
    async with aiohttp.ClientSession(headers=headers) as http, asyncio.timeout(TOLD_SECONDS):
        while True:
            async with http.get(url) as answer:
                page = await answer.json()
            told = [lane["stands_still"] or "" for lane in page["items"]]
            if told and all(topic in one for one in told):
                return
            await asyncio.sleep(0.2)


async def missing_at_start(trial: Trial) -> None:
    """A service whose topic is not there does not start, and names it."""
    system = trial.system
    await system.stop("batcher-1", "batcher-2", "batcher-3")
    admin = admin_of(system)
    await asyncio.to_thread(admin.delete_topics(["ticks"])["ticks"].result, 30)
    system.start("batcher-1")
    await refuses(trial, "batcher-1", "ticks")


async def refuses(trial: Trial, name: str, word: str) -> None:
    """Waits until the process has ended by itself, and its last lines say this word."""
    system = trial.system
    log = system.folder / "logs" / f"{name}.log"
    before = len(log.read_text())
    supervisor = system.stack.supervisor

    def ended() -> bool:
        new = log.read_text()[before:]
        return word in new and '"level": "error"' in new.replace("critical", "error")

    await system.until(f"{name} says what is wrong", ended, 40)
    await system.until(f"the end of {name}", lambda: supervisor.pid(name) is None, 40)


async def other_deployment(trial: Trial) -> None:
    """A worker of another deployment comes to our topics by mistake: it refuses, and ours go on."""
    system = trial.system
    trial.load(customers=4, images=80)
    await system.stop("dispatcher-2")
    system.start("dispatcher-2", IMAGELANE_DEPLOYMENT_ID="somebody-else")
    await refuses(trial, "dispatcher-2", "somebody-else")
    await system.stop("dispatcher-2")
    system.start("dispatcher-2")
    trial.healed()


async def changelog_lost(trial: Trial) -> None:
    """The batchers' whole changelog is gone in the middle of the lists; they learn all of it anew."""
    system = trial.system
    trial.load(customers=5, images=120)
    await trial.under_way(share=0.5)
    batchers = system.stack.names_of("batcher")
    await system.stop(*batchers)
    await asyncio.to_thread(make_anew, system, CHANGELOG)
    system.start(*batchers)
    trial.healed()


def make_anew(system: System, topic: str) -> None:
    """Deletes a topic, and makes it again as its file says."""
    kafka, admin = system.stack.kafka, admin_of(system)
    expected = expected_of(kafka, system.stack.options.deployment_id)
    wanted = topics.new_topic(kafka, expected, read_topic_files(schemas_folder())[topic])
    admin.delete_topics([topic])[topic].result(30)
    deadline = time.monotonic() + FREE_SECONDS
    while True:
        try:
            admin.create_topics([wanted])[topic].result(30)
        except KafkaException as error:  # the broker needs a moment before the name is free
            taken = error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
            if not taken or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)
        else:
            return


FAULTS: Final = [
    Fault("F26", "a topic is missing at the start", missing_at_start, spoils=True, ends=False),
    *(
        Fault(
            f"F27:{topic}",
            f"{topic} grown from 12 to {GROWN} partitions",
            partial(grown, topic=topic),
            spoils=True,
            ends=False,
        )
        for topic in ("batches", "processed", "completed", "jobs", "calls")
    ),
    *(
        Fault(
            f"F28:{topic}",
            f"{topic} deleted and made anew",
            partial(made_anew, topic=topic),
            spoils=True,
            ends=False,
        )
        for topic in ("batches", "processed")
    ),
    Fault("F31", "the batchers' changelog is lost", changelog_lost),
    Fault("F32", "a worker of another deployment", other_deployment),
]
