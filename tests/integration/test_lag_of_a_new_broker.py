"""A new broker makes its topic of commits while it is asked for them: the process that asks must live."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import CACHE

from imagelane.ops import topics
from imagelane.ops.broker import EmbeddedBroker, broker_home
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ASK = """
import asyncio, sys
from imagelane.platform.lag import LagReader, LagUnknownError
from imagelane.platform.settings import KafkaSettings

async def ask(lag, number):
    try:
        await lag.committed(f"service-{number % 40}", "downloaded")
    except LagUnknownError:
        return False
    return True

async def main():
    lag = LagReader(KafkaSettings(bootstrap_servers=sys.argv[1]))
    asked = []
    for number in range(400):
        asked.append(asyncio.ensure_future(ask(lag, number)))
        await asyncio.sleep(0.004)
    await asyncio.gather(*asked)
    while not await ask(lag, 0):
        await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_whoever_asks_a_new_broker_for_commits_lives_to_hear_the_answer(tmp_path: Path) -> None:
    broker = EmbeddedBroker(broker_home(CACHE, print), tmp_path)
    broker.start()
    try:
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        assert topics.apply(kafka, lambda _text: None) == []
        asking = [sys.executable, "-c", ASK, broker.bootstrap_servers]
        done = subprocess.run(asking, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        broker.stop()
