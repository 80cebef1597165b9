"""How the downloader is put together, and how it ends."""

from __future__ import annotations

import asyncio
import resource
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

import structlog

from imagelane.contracts.topics import DOWNLOADED, REQUESTED
from imagelane.downloader.core.backlog import Backlog, BacklogBounds
from imagelane.downloader.deliveries import Deliveries
from imagelane.downloader.fetch import OriginalFetcher
from imagelane.downloader.host_log import HostLog
from imagelane.downloader.pipeline import Pipeline
from imagelane.downloader.settings import Settings
from imagelane.platform.bounded_end import END_SECONDS, UNBOUNDED, End
from imagelane.platform.guarded_http import GuardedClient
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart
from imagelane.platform.health_parts import StorePart
from imagelane.platform.lag import LagReader, LagUnknownError
from imagelane.platform.lifecycle import leave_with
from imagelane.platform.producer import BY_IMAGE, EventProducer
from imagelane.platform.stores import Stores
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing
from imagelane.platform.work import WorkConsumer, WorkLimits

SERVICE: Final = "downloader"
SOURCE: Final = f"/services/{SERVICE}"
PROCESSOR: Final = "processor"
BACKLOG_SECONDS: Final = 1.0
MAX_RECORD_SECONDS: Final = 6 * 3_600.0
"""An image may have to wait for hours behind its slow server's others, or for the processor."""


async def run(settings: Settings, stop: asyncio.Event, end: End = UNBOUNDED) -> None:
    """Fetches what is requested until `stop` is set. Raises whatever it cannot go on from."""
    _allow_all_descriptors()
    async with AsyncExitStack() as resources:
        tracing = resources.enter_context(open_tracing(SERVICE, settings.kafka))
        topology = TopologyWatch(settings, SERVICE)
        await topology.require()
        stores = await Stores.open(settings.store)
        resources.push_async_callback(stores.close)
        producer = EventProducer(
            settings.kafka, source=f"/services/{SERVICE}", overrides=BY_IMAGE, tracing=tracing
        )
        resources.push_async_callback(producer.close)
        client = await resources.enter_async_context(GuardedClient(settings.http))
        consumer = WorkConsumer(
            settings.kafka,
            service=SERVICE,
            topics=[REQUESTED],
            limits=WorkLimits(max_record_seconds=MAX_RECORD_SECONDS),
        )
        resources.push_async_callback(consumer.stop)
        lag = LagReader(settings.kafka)

        own = settings.downloader
        deliveries = Deliveries(consumer, producer, settings.kafka, service=SERVICE)
        backlog = Backlog(BacklogBounds(own.max_backlog_images, own.max_backlog_bytes))
        fetcher = OriginalFetcher(
            client, stores.private, max_image_bytes=own.max_image_bytes, formats=own.formats
        )
        pipeline = Pipeline(consumer, deliveries, fetcher, client.policy, backlog, own)
        hosts = HostLog(producer, pipeline.schedule, source=SOURCE)

        group = GroupPart(
            SERVICE, [REQUESTED], lag, lambda: replace(consumer.state, held=pipeline.held)
        )
        store = StorePart((stores.private, ""))
        await resources.enter_async_context(serving(settings.health, group, store, topology))
        await consumer.start()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(pipeline.run()),
                tasks.create_task(_watch_backlog(lag, backlog, pipeline)),
                tasks.create_task(hosts.run()),
                tasks.create_task(group.run()),
                tasks.create_task(store.run()),
                tasks.create_task(topology.stand_guard()),
                tasks.create_task(leave_with(consumer.failed)),
                tasks.create_task(leave_with(deliveries.failed)),
            ]
            await stop.wait()
            end.within(END_SECONDS)
            pipeline.close()
            await consumer.stop()  # what is under way has half a second to arrive
            for task in running:
                task.cancel()


def _allow_all_descriptors() -> None:
    """Connections to many servers stay open for a moment; the usual 1,024 may be too few for them."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


async def _watch_backlog(lag: LagReader, backlog: Backlog, pipeline: Pipeline) -> None:
    log = structlog.get_logger("imagelane.downloader")
    while True:
        was_full = backlog.is_full
        try:
            backlog.seen(sum((await lag.unread(PROCESSOR, DOWNLOADED)).values()))
        except LagUnknownError as error:
            log.warning("backlog.unknown", error=str(error))  # what was seen last still holds
        if backlog.is_full is not was_full:
            log.info("fetching.held" if backlog.is_full else "fetching.resumed")
        pipeline.go_on()
        pipeline.measure()
        await asyncio.sleep(BACKLOG_SECONDS)
