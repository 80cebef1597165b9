"""How the processor is put together, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Final

from imagelane.contracts.topics import DOWNLOADED
from imagelane.platform.bounded_end import END_SECONDS, UNBOUNDED, End
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart
from imagelane.platform.health_parts import StartPart, StorePart
from imagelane.platform.lag import LagReader
from imagelane.platform.lifecycle import leave_with
from imagelane.platform.producer import BY_IMAGE, EventProducer
from imagelane.platform.stores import Stores, destinations_of
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import open_tracing
from imagelane.platform.work import WorkConsumer
from imagelane.processor.decoders import Decoders
from imagelane.processor.maker import ImageMaker, Maker
from imagelane.processor.pipeline import Pipeline
from imagelane.processor.public_look import PublicLook, VerifyingMaker
from imagelane.processor.public_probe import prove_public
from imagelane.processor.settings import Settings

SERVICE: Final = "processor"


async def run(settings: Settings, stop: asyncio.Event, end: End = UNBOUNDED) -> None:
    """Processes what is downloaded until `stop` is set. Raises whatever it cannot go on from."""
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
        consumer = WorkConsumer(settings.kafka, service=SERVICE, topics=[DOWNLOADED])
        resources.push_async_callback(consumer.stop)

        own = settings.processor
        policy = own.decoders()
        decoders = Decoders(policy)
        destinations = destinations_of(settings.store)
        maker: Maker = ImageMaker(stores, decoders, own.limits())
        if own.verify_public:
            look = await resources.enter_async_context(PublicLook())
            maker = VerifyingMaker(maker, look)
        pipeline = Pipeline(
            consumer,
            producer,
            maker,
            stores.private,
            destinations,
            group=settings.kafka.group(SERVICE),
            images_at_once=policy.children * own.images_ahead,
        )

        lag = LagReader(settings.kafka)
        group = GroupPart(SERVICE, [DOWNLOADED], lag, lambda: consumer.state)
        store = StorePart(
            (stores.private, ""),
            *((stores.destination(one.name), one.prefix) for one in destinations.values()),
        )
        start = StartPart()
        await resources.enter_async_context(serving(settings.health, start, group, store, topology))
        if own.public_probe_seconds:
            patience_seconds = own.public_probe_seconds
            proving = prove_public(destinations, stores, start, patience_seconds=patience_seconds)
            if not await _done_before(stop, proving):
                return
        start.done()
        await consumer.start()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(decoders.run()),
                tasks.create_task(pipeline.run()),
                tasks.create_task(group.run()),
                tasks.create_task(store.run()),
                tasks.create_task(topology.stand_guard()),
                tasks.create_task(leave_with(consumer.failed)),
            ]
            await stop.wait()
            end.within(END_SECONDS)
            pipeline.close()
            await consumer.stop()  # what is under way has half a second to be told
            for task in running:
                task.cancel()


async def _done_before(stop: asyncio.Event, proving: Coroutine[None, None, None]) -> bool:
    """Whether it came to its end, and not `stop` before. Raises what it raises."""
    asked = asyncio.create_task(stop.wait())
    task = asyncio.create_task(proving)
    await asyncio.wait({asked, task}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if task.done():
        task.result()
        return True
    task.cancel()
    return False
