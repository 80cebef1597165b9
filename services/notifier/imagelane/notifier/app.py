"""The notifier, put together: the only place that builds things."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from typing import Final

from imagelane.contracts.topics import NOTICES
from imagelane.notifier.core.lanes import Lanes
from imagelane.notifier.delivering import Delivering
from imagelane.notifier.following import Following
from imagelane.notifier.posting import Poster
from imagelane.notifier.settings import Settings
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart
from imagelane.platform.lag import LagReader
from imagelane.platform.lifecycle import leave_with
from imagelane.platform.notice_log import NoticeLog
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import SettingsError, variable_of
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing
from imagelane.platform.work import WorkConsumer, WorkLimits

SERVICE: Final = "notifier"
SOURCE: Final = f"/services/{SERVICE}"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Posts notices until `stop` is set. Raises what it cannot go on from: start it anew."""
    own, kafka = settings.notifier, settings.kafka
    masters = settings.notify_signing.masters()
    if not masters:
        name = variable_of(("notify_signing", "secret_files"))
        raise SettingsError(f"{name}: notices are signed, so at least one master secret is needed")
    async with AsyncExitStack() as resources:
        tracing = resources.enter_context(open_tracing(SERVICE, kafka))
        topology = TopologyWatch(settings, SERVICE)
        await topology.require()
        producer = EventProducer(kafka, source=SOURCE)
        resources.push_async_callback(producer.close)
        poster = await resources.enter_async_context(
            Poster(
                settings.http,
                masters,
                allow_http=settings.notify.allow_http,
                post_seconds=own.post_seconds,
                most_wait_seconds=own.max_retry_after_seconds,
            )
        )
        consumer = WorkConsumer(
            kafka,
            service=SERVICE,
            topics=[NOTICES],
            limits=WorkLimits(max_record_seconds=math.inf),
            verify_partition=False,  # a record's key is its job's, its partition the customer's
        )
        resources.push_async_callback(consumer.stop)

        lanes = Lanes(
            total=own.posts,
            per_host=own.posts_per_host,
            per_customer=own.max_pending_per_customer,
        )
        log = NoticeLog(producer, kafka, source=SOURCE)
        delivering = Delivering(lanes, own.schedule(), poster, log, tracing)
        following = Following(consumer, delivering, kafka)

        group = GroupPart(SERVICE, [NOTICES], LagReader(kafka), lambda: following.state)
        await resources.enter_async_context(serving(settings.health, group, topology))
        await consumer.start()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(delivering.run()),
                tasks.create_task(following.watch()),
                tasks.create_task(following.follow()),
                tasks.create_task(group.run()),
                tasks.create_task(topology.stand_guard()),
                tasks.create_task(leave_with(consumer.failed)),
            ]
            await stop.wait()
            await delivering.close(own.drain_seconds)
            for task in running:
                task.cancel()
