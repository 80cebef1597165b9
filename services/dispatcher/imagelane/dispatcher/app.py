"""Builds the dispatcher from its settings, and runs it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import structlog

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.dispatcher.batch_api import open_batch_api
from imagelane.dispatcher.caller import Caller
from imagelane.dispatcher.core.plan import Terms
from imagelane.dispatcher.dispatching import Dispatching
from imagelane.dispatcher.ending import end_in_time
from imagelane.dispatcher.errands import Happening
from imagelane.dispatcher.failpoints import Failpoints
from imagelane.dispatcher.log import SOURCE, CallLog
from imagelane.dispatcher.membership import INPUTS, SERVICE, Membership
from imagelane.dispatcher.owner import LaneOwner
from imagelane.dispatcher.ownership import Ownership
from imagelane.dispatcher.retention import check_retention
from imagelane.dispatcher.room import Room
from imagelane.dispatcher.settings import Settings
from imagelane.dispatcher.spans import CallSpans
from imagelane.dispatcher.turn import Rules
from imagelane.dispatcher.watchdog import Watchdog
from imagelane.platform.bounded_end import UNBOUNDED, End
from imagelane.platform.groups import configure_group
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart
from imagelane.platform.lag import LagReader
from imagelane.platform.producer import EventProducer
from imagelane.platform.stores import destinations_of
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing

LEAVING_SECONDS: Final = 0.5


async def run(settings: Settings, stop: asyncio.Event, end: End = UNBOUNDED) -> None:
    """Makes calls until `stop` is set. Raises whatever it cannot go on from."""
    kafka, own = settings.kafka, settings.dispatcher
    check_retention(own, read_topic_files(schemas_folder()))
    async with AsyncExitStack() as resources:
        tracing = resources.enter_context(open_tracing(SERVICE, kafka))
        api = open_batch_api(settings.batch_api)
        resources.push_async_callback(api.close)
        topology = TopologyWatch(settings, SERVICE)
        await topology.require()
        if kafka.group_protocol == "consumer":
            await asyncio.to_thread(configure_group, kafka, SERVICE)
        producer = EventProducer(kafka, source=SOURCE, tracing=tracing)
        resources.push_async_callback(producer.close)
        ownership = Ownership(kafka.session_timeout_seconds)
        watchdog = Watchdog(ownership)
        watchdog.start()

        terms = Terms(
            settings.deployment_id,
            destinations_of(settings.store),
            own.callback_url or None,
        )
        failpoints = Failpoints.of(own)
        happenings: deque[Happening] = deque()
        tasks = asyncio.TaskGroup()
        caller = Caller(
            api,
            ownership,
            terms,
            room=Room(own.images_in_flight),
            failpoints=failpoints,
            done=happenings.append,
            spawn=tasks.create_task,
        )
        caller.tracing = tracing
        membership = Membership(
            kafka,
            ownership,
            doubt=lambda: topology.doubt,
            leaving=_dropping(caller),
            meanwhile=happenings,
        )
        log = CallLog(kafka, worker_name=own.worker_name, failpoints=failpoints)
        rules = Rules(terms, own.policy())
        spans = None if tracing is None else CallSpans(tracing)
        owner = LaneOwner(kafka, ownership, membership, log, rules, failpoints, spans)
        group = GroupPart(SERVICE, INPUTS, LagReader(kafka), owner.state)
        await resources.enter_async_context(serving(settings.health, group, topology))
        await resources.enter_async_context(tasks)
        watching = [
            tasks.create_task(group.run()),
            tasks.create_task(topology.observe()),
            tasks.create_task(end_in_time(stop, end, lambda: caller.sending)),
        ]
        if spans is not None:
            watching.append(tasks.create_task(spans.run()))
        await Dispatching(
            kafka,
            owner=owner,
            caller=caller,
            producer=producer,
            happenings=happenings,
            tasks=tasks,
        ).run(stop)
        for task in watching:
            task.cancel()
        watchdog.stop()  # only now: after a failure it sees to it that the process really ends


def _dropping(caller: Caller) -> Callable[[frozenset[int]], None]:
    """Ends the steps of partitions that leave, called in the Kafka thread, before they are handed over."""
    loop = asyncio.get_running_loop()

    def drop(partitions: frozenset[int]) -> None:
        dropped = asyncio.run_coroutine_threadsafe(caller.drop(partitions), loop)
        try:
            dropped.result(LEAVING_SECONDS)
        except concurrent.futures.TimeoutError:
            structlog.get_logger("imagelane.caller").warning("steps.still_ending")

    return drop
