"""The batcher, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, cast

from faust import Table
from faust.types import StreamT

from imagelane.batcher import watch
from imagelane.batcher.faust_app import TABLE, LaneApp, create_app
from imagelane.batcher.heartbeat import Heartbeat
from imagelane.batcher.inlet import Inlet
from imagelane.batcher.leaving import Exit, leave
from imagelane.batcher.outbox import Outbox
from imagelane.batcher.ownership import Ownership
from imagelane.batcher.retention import check_retention
from imagelane.batcher.settings import Settings
from imagelane.batcher.spans import ImageWaits
from imagelane.contracts import topics
from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.platform.bounded_end import END_SECONDS, UNBOUNDED, End
from imagelane.platform.health import serving
from imagelane.platform.health_groups import GroupPart
from imagelane.platform.lag import LagReader
from imagelane.platform.topology import TopologyWatch
from imagelane.platform.tracing import Tracing, open_tracing

SERVICE: Final = "batcher"
INPUTS: Final = (
    topics.PROCESSED,
    topics.JOBS,
    topics.COMPLETED,
    topics.COMMANDS,
    topics.TICKS,
)
DRAIN_SECONDS: Final = 20.0
LAST_FLUSH_SECONDS: Final = 3.0


async def run(settings: Settings, stop: asyncio.Event, end: End = UNBOUNDED) -> None:
    """Runs one worker until `stop`. Leaves by itself, with a code, when it must not go on."""
    check_retention(settings.batcher, read_topic_files(schemas_folder()))
    with open_tracing(SERVICE, settings.kafka) as tracing:
        await _run(settings, stop, end, tracing)


async def _run(settings: Settings, stop: asyncio.Event, end: End, tracing: Tracing | None) -> None:
    topology = TopologyWatch(settings, SERVICE)
    await topology.require()
    app = create_app(settings)
    inputs = {settings.kafka.topic(name): name for name in INPUTS}
    partitions = settings.kafka.strict_partitions
    table = cast(
        Table[bytes, bytes],
        app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=partitions),
    )
    heartbeat = Heartbeat(settings.kafka.session_timeout_seconds / 2)
    outbox = Outbox(app)
    ownership = Ownership(
        app, table, inputs=frozenset(inputs), partitions=partitions, rules=settings.batcher.rules()
    )
    waits = None if tracing is None else ImageWaits(tracing)
    inlet = Inlet(settings, table, heartbeat, ownership, outbox, inputs=inputs, waits=waits)
    outbox.on_confirmed = inlet.schedule
    ownership.on_open = inlet.begin

    inbox = app.topic(*inputs, key_serializer="raw", value_serializer="raw", allow_empty=True)

    @app.agent(inbox, name=TABLE, concurrency=1)
    async def lanes(stream: StreamT[bytes]) -> None:
        await inlet.consume(stream)

    async def revoke(*_sender_and_revoked: object, **_signal: object) -> None:
        ownership.shut()
        inlet.drop()
        outbox.drop_acknowledgements()
        if not await outbox.drained(DRAIN_SECONDS):
            leave(Exit.NOT_DURABLE, "writes were not durable in time before a rebalance")

    app.listener = ownership
    app.on_partitions_revoked.connect(revoke)
    table.on_recover(ownership.locate)

    limit_seconds = settings.batcher.no_progress_seconds
    group = GroupPart(
        SERVICE,
        INPUTS,
        LagReader(settings.kafka),
        lambda: ownership.state(inputs),
        idle_seconds=2 * limit_seconds,  # it leaves by itself before that
    )
    async with serving(settings.health, group, topology):
        await _until(
            stop,
            app,
            watch.tick(inlet, ownership, heartbeat, settings.batcher),
            watch.watch_progress(app, ownership, limit_seconds),
            watch.take_census(ownership),
            watch.guard_topics(topology),
            group.run(),
        )
        # Without a broker Faust never stops: one of its threads waits on. Nobody needs it to, see Outbox.
        end.within(END_SECONDS)
    inlet.flush()
    ownership.shut()
    await outbox.drained(LAST_FLUSH_SECONDS)
    await app.stop()


async def _until(stop: asyncio.Event, app: LaneApp, *timers: Coroutine[Any, Any, None]) -> None:
    """Starts Faust and runs beside it until `stop`. Whatever ends before ends the process."""
    asked = asyncio.create_task(stop.wait())
    start = asyncio.create_task(app.start())
    crashed = asyncio.create_task(app.wait_until_stopped())
    running = [asyncio.create_task(timer) for timer in timers]
    pending: set[asyncio.Task[Any]] = {asked, start, crashed, *running}
    while asked in pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {asked}:
            if error := task.exception() or app.crash_reason:
                leave(1, "Faust or a timer has crashed", error)
    for task in pending:
        task.cancel()
