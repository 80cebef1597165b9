"""An uploaded list's way from the gateway through intake: every line is requested, and the upload is gone."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr
from tests.integration.gateways import DEPLOYMENT_SECRET, gateway
from tests.integration.test_intake import Topics, intake_running
from tests.waiting import eventually_found

from imagelane.contracts.codec import decode
from imagelane.contracts.events import JobSealed
from imagelane.contracts.topics import JOBS
from imagelane.ops import key_records
from imagelane.platform.settings import KafkaSettings

pytestmark = pytest.mark.kafka

IMAGES = 20_000
TIMES = 2
KEYS_NOT_READ_YET = 503


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_an_uploaded_list_is_requested_and_forgotten(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    content = b"\r\n".join(b"https://a.example/%d.jpg" % number for number in range(IMAGES))
    _, token = await asyncio.to_thread(
        key_records.create, kafka, name="test", customer_id="acme", scopes=["submit"]
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "text/plain",
        "Idempotency-Key": "k-1",
    }
    secret = SecretStr(DEPLOYMENT_SECRET)
    topics = Topics(kafka)

    def sealed() -> list[JobSealed]:
        events = [decode(JOBS, seen.value) for seen in topics.read(JOBS)]
        return [event for event in events if isinstance(event, JobSealed)]

    async with (
        gateway(kafka, tmp_path) as url,
        intake_running(kafka, tmp_path, deployment_secret=secret),
        aiohttp.ClientSession() as session,
    ):
        job_ids: list[str] = []
        async with asyncio.timeout(60):
            while len(job_ids) < TIMES:  # the same again is the same job
                data = io.BytesIO(content)
                async with session.post(f"{url}/v1/jobs", data=data, headers=headers) as answer:
                    if answer.status == KEYS_NOT_READ_YET:
                        await asyncio.sleep(0.05)
                        continue
                    assert answer.status == 202, await answer.text()
                    job_ids.append((await answer.json())["job_id"])
        await eventually_found(lambda: len(sealed()) > 0)
        await eventually_found(lambda: not files_below(tmp_path / "private" / "uploads"))
    [job] = sealed()
    assert ([job.job_id] * TIMES, job.customer_id, job.images) == (job_ids, "acme", IMAGES)
