"""Who keeps lanes ends in seconds, though the broker has fallen silent: its clients' threads wait for it in vain."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from tests.integration.batcher.conftest import workers
from tests.integration.dispatcher.conftest import Rig
from tests.waiting import eventually

from imagelane.ops.broker import EmbeddedBroker

pytestmark = pytest.mark.kafka

END_SECONDS = 20.0
"""They have five, and the machine is busy. Left to itself the one took 26, and the other never ended."""


async def test_dispatcher_and_batcher_end_though_the_broker_answers_nothing_any_more(
    rig: Rig, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    dispatcher = rig.start()
    with workers(rig.kafka, tmp_path) as (batcher,):
        await asyncio.to_thread(batcher.until_open)
        await eventually(lambda: "partitions.assigned" in rig.log_of(dispatcher))
        server = broker._process
        assert server is not None
        os.kill(server.pid, signal.SIGSTOP)
        try:
            ending = (dispatcher, batcher.process)
            for process in ending:
                process.terminate()
            codes = [await asyncio.to_thread(one.wait, END_SECONDS) for one in ending]
        finally:
            os.kill(server.pid, signal.SIGCONT)
    assert codes == [0, 0]
    assert "service.left" in batcher.log.read_text()
