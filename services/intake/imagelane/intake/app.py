"""Intake, put together: the only place that builds things."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.contracts.topics import COMMANDS, FINISHED, MISSING, URLS
from imagelane.intake.admission import Admission
from imagelane.intake.core.refusals import Rules
from imagelane.intake.endings import Endings
from imagelane.intake.fanout import FanOut
from imagelane.intake.frozen_lists import FrozenLists
from imagelane.intake.list_fetch import ListFetcher, limits_of
from imagelane.intake.list_work import ListWork
from imagelane.intake.notices import Notices
from imagelane.intake.orders import OrderWork
from imagelane.intake.removal import Removal
from imagelane.intake.repeats import Repeats
from imagelane.intake.retention import check_retention
from imagelane.intake.road import Road
from imagelane.intake.settings import Settings
from imagelane.intake.tidying import Tidying
from imagelane.intake.uploads import UploadedLists
from imagelane.platform.guarded_http import GuardedClient
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart
from imagelane.platform.health_parts import StorePart
from imagelane.platform.lag import LagReader
from imagelane.platform.notice_log import NoticeLog
from imagelane.platform.producer import EventProducer
from imagelane.platform.stores import Stores, destinations_of
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing
from imagelane.platform.work import WorkConsumer, WorkLimits

SERVICE: Final = "intake"
SOURCE: Final = f"/services/{SERVICE}"
ORDERS: Final = "intake-orders"
"""A group of its own, so that a full house of lists never holds up a cancel or the sweep."""

# A list waits for its turn, and the sweep for the road, as long as it takes: neither is stalled.
LIMITS: Final = WorkLimits(max_record_seconds=math.inf)
# A dead letter is a record that was as large as allowed, with the reason on top.
PRODUCER: Final[dict[str, str | int]] = {"message.max.bytes": 2_097_152}


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Runs intake until `stop` is set. Raises what it cannot go on from: start it anew."""
    kafka, intake = settings.kafka, settings.intake
    check_retention(intake, read_topic_files(schemas_folder()))
    retention = timedelta(days=intake.retention_days)
    async with AsyncExitStack() as resources:
        tracing = resources.enter_context(open_tracing(SERVICE, kafka))
        topology = TopologyWatch(settings, SERVICE)
        await topology.require()
        stores = await Stores.open(settings.store)
        resources.push_async_callback(stores.close)
        client = await resources.enter_async_context(GuardedClient(settings.http))
        producer = EventProducer(kafka, source=SOURCE, overrides=PRODUCER, tracing=tracing)
        resources.push_async_callback(producer.close)
        lag = LagReader(kafka)

        lists = FrozenLists(stores.private)
        notices = Notices(NoticeLog(producer, kafka, source=SOURCE))
        fan_out = FanOut(
            producer, lag, kafka, max_unread=intake.max_unread, lag_seconds=intake.lag_seconds
        )
        uploads = UploadedLists(stores.private, limits_of(intake), secret=intake.secret())
        admission = Admission(
            lists,
            ListFetcher(client, uploads, intake),
            producer,
            secret=intake.secret(),
            rules=Rules(
                settings.store.destinations, client.policy, allow_http=settings.notify.allow_http
            ),
            notices=notices,
            retention=retention,
        )
        removal = Removal(stores, lists, destinations_of(settings.store))
        road = Road(lag, check_seconds=intake.sweep_check_seconds)
        urls = WorkConsumer(kafka, service=SERVICE, topics=[URLS], limits=LIMITS)
        orders = WorkConsumer(
            kafka, service=ORDERS, topics=[MISSING, COMMANDS, FINISHED], limits=LIMITS
        )
        list_work = ListWork(
            urls, admission, lists, fan_out, producer, settings=intake, group=kafka.group(SERVICE)
        )
        order_work = OrderWork(
            orders,
            Repeats(lists, fan_out, road, chunk_images=intake.chunk_images),
            Endings(lists, fan_out, road, removal, notices, retention=retention),
            producer,
            group=kafka.group(ORDERS),
        )
        tidying = Tidying(lists, removal, admission, producer, uploads, settings=intake)
        parts = (
            GroupPart(SERVICE, [URLS], lag, lambda: urls.state),
            GroupPart(ORDERS, [MISSING, COMMANDS, FINISHED], lag, lambda: orders.state),
            StorePart((stores.private, "")),
        )
        await resources.enter_async_context(serving(settings.health, *parts))
        await _run_until(
            stop,
            [
                list_work.run(),
                order_work.run(),
                fan_out.keep_measuring(),
                tidying.keep_tidying(),
                topology.stand_guard(),
                *(part.run() for part in parts),
            ],
            consumers=[urls, orders],
        )


async def _run_until(
    stop: asyncio.Event,
    works: Sequence[Coroutine[None, None, None]],
    *,
    consumers: Sequence[WorkConsumer],
) -> None:
    """Starts the consumers and works until `stop`, or until one of them fails, and then raises.

    At the end the consumers commit what was done while the works still run, so that a clean stop
    repeats next to nothing.
    """
    tasks = [asyncio.create_task(work) for work in works]
    stopped: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.gather(*(consumer.start() for consumer in consumers))
        ends: list[asyncio.Future[Any]] = [*tasks, *(consumer.failed for consumer in consumers)]
        await asyncio.wait({stopped, *ends}, return_when=asyncio.FIRST_COMPLETED)
        for one in ends:
            if one.done():
                one.result()
        await asyncio.gather(*(consumer.stop() for consumer in consumers))
    finally:
        stopped.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
