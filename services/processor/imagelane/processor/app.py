"""How the processor is put together, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from imagelane.contracts.topics import DOWNLOADED
from imagelane.platform.producer import BY_IMAGE, EventProducer
from imagelane.platform.stores import Stores, destinations_of
from imagelane.platform.work import WorkConsumer
from imagelane.processor.decoders import Decoders
from imagelane.processor.maker import ImageMaker
from imagelane.processor.pipeline import Pipeline
from imagelane.processor.settings import Settings

SERVICE: Final = "processor"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Processes what is downloaded until `stop` is set. Raises whatever it cannot go on from."""
    async with AsyncExitStack() as resources:
        stores = await Stores.open(settings.store)
        resources.push_async_callback(stores.close)
        producer = EventProducer(settings.kafka, source=f"/services/{SERVICE}", overrides=BY_IMAGE)
        resources.push_async_callback(producer.close)
        consumer = WorkConsumer(settings.kafka, service=SERVICE, topics=[DOWNLOADED])
        resources.push_async_callback(consumer.stop)

        own = settings.processor
        policy = own.decoders()
        decoders = Decoders(policy)
        pipeline = Pipeline(
            consumer,
            producer,
            ImageMaker(stores, decoders, own.limits()),
            stores.private,
            destinations_of(settings.store.destinations),
            group=settings.kafka.group(SERVICE),
            images_at_once=policy.children * own.images_ahead,
        )

        await consumer.start()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(decoders.run()),
                tasks.create_task(pipeline.run()),
                tasks.create_task(_leave_with(consumer.failed)),
            ]
            await stop.wait()
            pipeline.close()
            await consumer.stop()  # what is under way has half a second to be told
            for task in running:
                task.cancel()


async def _leave_with(failed: asyncio.Future[None]) -> None:
    await failed
