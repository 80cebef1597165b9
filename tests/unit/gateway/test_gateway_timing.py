"""Nobody learns by the clock what is there: other customers' things take as long as what is not there."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
from tests.unit.gateway.conftest import Gateway, Start
from tests.unit.gateway.test_gateway_on_a_database import lived

from imagelane.tracking.database import DatabaseSettings

pytestmark = pytest.mark.slow

PAIRS = 40
MOST_SECONDS = 0.005
IMAGES = 3_000
UNKNOWN = "b" * 32
ROUTES = [
    ("GET", "/v1/jobs/{job}"),
    ("GET", "/v1/jobs/{job}/trail"),
    ("GET", "/v1/jobs/{job}/images?status=failed"),
    ("GET", "/v1/jobs/{job}/results"),
    ("GET", "/v1/jobs/{job}/events"),
    ("GET", "/v1/images/{job}:7"),
    ("POST", "/v1/jobs/{job}/cancel"),
    ("DELETE", "/v1/jobs/{job}"),
]


async def seconds(gateway: Gateway, method: str, path: str, token: str) -> tuple[float, bytes]:
    began = time.perf_counter()
    answer = await gateway.ask(method, path, token=token)
    assert answer.status == 404
    return time.perf_counter() - began, answer.body


async def test_what_is_another_customers_takes_as_long_as_what_is_not_there(
    start: Start, tmp_path: Path
) -> None:
    """Asked in turns, so that whatever else the machine does slows both alike."""
    database = DatabaseSettings(url=f"sqlite:///{tmp_path}/tracker.db")
    job = lived(database, images=IMAGES)
    async with start(database=database) as gateway:
        token = gateway.keys.token("umbra", "submit", "read")
        for method, route in ROUTES:
            theirs, nobodys = [], []
            for _ in range(PAIRS):
                took, body = await seconds(gateway, method, route.format(job=job.job_id), token)
                theirs.append(took)
                took, other = await seconds(gateway, method, route.format(job=UNKNOWN), token)
                nobodys.append(took)
                assert body == other
            difference = abs(statistics.median(theirs) - statistics.median(nobodys))
            assert difference < MOST_SECONDS, (method, route, difference)
        assert gateway.kafka.sent == []
