"""Several workers that come, go, die and sleep under load: nothing lost, nothing twice.

SIGSTOP beyond the session is the only fault that has shown how Faust loses records.
"""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from tests.integration.batcher.conftest import (
    ModelDispatcher,
    Road,
    Worker,
    job_id,
    workers,
)
from tests.waiting import wait_until

from imagelane.batcher.leaving import Exit
from imagelane.platform.settings import KafkaSettings

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(240)]

CUSTOMERS = [f"customer{number}" for number in range(12)]
IMAGES = 2_000
ROAD_SECONDS = 35.0
CHUNK = 20


class Traffic:
    """Every customer has one job; the images of all of them come evenly over `ROAD_SECONDS`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.road = Road(kafka)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        for first in range(0, IMAGES, CHUNK):
            indexes = range(first, first + CHUNK)
            for number, customer_id in enumerate(CUSTOMERS):
                self.road.processed(
                    customer_id, job_id(number), indexes, failed=range(first, first + 1)
                )
            time.sleep(max(begun + ROAD_SECONDS * first / IMAGES - time.monotonic(), 0.0))
        for number, customer_id in enumerate(CUSTOMERS):
            self.road.sealed(customer_id, job_id(number), IMAGES)
        self.road.flush()


def check(dispatcher: ModelDispatcher, staff: list[Worker]) -> None:
    """Waits for the end, reviving workers that left in need; then counts."""

    def all_finished() -> bool:
        for worker in staff:
            worker.revive()
        return len({one.job_id for one in dispatcher.finished}) == len(CUSTOMERS)

    wait_until(all_finished, "all jobs finished", within_seconds=100.0)
    assert dispatcher.images_in_two_calls() == 0
    failed = IMAGES // CHUNK
    assert {(one.delivered, one.failed) for one in dispatcher.finished} == {
        (IMAGES - failed, failed)
    }
    assert len(dispatcher.finished) - len(CUSTOMERS) <= len(CUSTOMERS)


def test_a_rolling_restart_under_load(kafka: KafkaSettings, tmp_path: Path) -> None:
    traffic = Traffic(kafka)
    with (
        workers(kafka, tmp_path, count=2) as staff,
        ModelDispatcher(traffic.road).at_work() as dispatcher,
    ):
        staff[0].until_open()
        traffic.start()
        for worker in staff * 2:
            time.sleep(6.0)
            assert worker.end() == 0
            worker.start()
        traffic.end()
        check(dispatcher, staff)


def test_sleepers_and_deaths_under_load(kafka: KafkaSettings, tmp_path: Path) -> None:
    traffic = Traffic(kafka)
    with (
        workers(kafka, tmp_path, count=3) as staff,
        ModelDispatcher(traffic.road).at_work() as dispatcher,
    ):
        staff[0].until_open()
        traffic.start()
        time.sleep(5.0)
        staff[1].process.send_signal(signal.SIGSTOP)
        time.sleep(9.0)
        staff[1].process.send_signal(signal.SIGCONT)
        assert staff[1].process.wait(10) == Exit.SLEPT
        staff[1].start()
        time.sleep(3.0)
        staff[2].end(signal.SIGKILL)
        staff[2].start()
        time.sleep(1.0)
        staff[0].process.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        staff[0].process.send_signal(signal.SIGCONT)
        traffic.end()
        check(dispatcher, staff)
