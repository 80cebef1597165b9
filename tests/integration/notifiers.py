"""The notifier as a process of its own, and receivers on loopback that answer as a test says."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from imagelane.contracts.codec import decode, event_id
from imagelane.contracts.events import JobFinished
from imagelane.contracts.notices import NoticeRecorded
from imagelane.contracts.topics import NOTICES
from imagelane.core.notifying import notify_secret
from imagelane.platform.latest_records import latest_records
from imagelane.platform.notice_log import NoticeLog
from imagelane.platform.producer import EventProducer
from imagelane.platform.settings import KafkaSettings

MASTERS = ("the newer master secret of this test", "the older master secret of this test")
Answer = Callable[[int], Awaitable[web.Response]]
"""What the n-th post to a path is answered with, from 1."""


@dataclass
class Receiver:
    """Keeps every post that was signed with the customer's secret, and refuses all others."""

    url: str = ""
    posts: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, Answer] = field(default_factory=dict)
    forged: int = 0

    async def take(self, request: web.Request) -> web.Response:
        body, path = await request.read(), request.path
        customer = json.loads(body)["customer_id"]
        secret = notify_secret(MASTERS[len(self.posts[path]) % 2].encode(), customer)
        try:
            told = Webhook(secret).verify(body, dict(request.headers))
        except Exception:
            self.forged += 1
            raise
        self.posts[path].append(told)
        self.ids[path].append(request.headers["webhook-id"])
        answer = self.answers.get(path)
        return web.Response(status=204) if answer is None else await answer(len(self.posts[path]))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    app = web.Application()
    app.add_routes([web.post("/{name:.+}", one.take)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (address,) = runner.addresses
    one.url = f"http://127.0.0.1:{address[1]}"
    yield one
    await runner.cleanup()
    assert one.forged == 0


@dataclass
class Sender:
    """Intake's part: tells of finished jobs."""

    log: NoticeLog
    sent: int = 0

    async def send(self, url: str, customer_id: str = "acme", job_id: str | None = None) -> str:
        """A job of its own each time; returns its id."""
        self.sent += 1
        job = job_id or f"{self.sent:032d}".translate(str.maketrans("0189", "abcd"))
        finished = JobFinished(
            customer_id=customer_id,
            job_id=job,
            images=3,
            delivered=3,
            failed=0,
            cancelled=0,
            occurred_at=datetime.now(UTC),
            idempotency_key="order-7",
        )
        await self.log.send(
            NoticeRecorded(
                customer_id=customer_id,
                job_id=job,
                notice_id=event_id(finished),
                about="finished",
                state="pending",
                occurred_at=datetime.now(UTC),
                notify_url=url,
                finished=finished,
            )
        )
        return job


@pytest.fixture
async def sender(kafka: KafkaSettings) -> AsyncIterator[Sender]:
    producer = EventProducer(kafka, source="/tests")
    yield Sender(NoticeLog(producer, kafka, source="/tests"))
    await producer.close()


def recorded(kafka: KafkaSettings) -> dict[str, NoticeRecorded]:
    """The newest record of each job's notice."""
    notices = [decode(NOTICES, value) for value in latest_records(kafka, NOTICES).values()]
    return {one.job_id: one for one in notices}


async def until_recorded(
    kafka: KafkaSettings, job_id: str, condition: Callable[[NoticeRecorded], bool]
) -> NoticeRecorded:
    for _ in range(600):
        notice = (await asyncio.to_thread(recorded, kafka)).get(job_id)
        if notice is not None and condition(notice):
            return notice
        await asyncio.sleep(0.1)
    pytest.fail(f"the notice of {job_id} did not come so far: {recorded(kafka)}")


@asynccontextmanager
async def notifier(
    kafka: KafkaSettings, folder: Path, **changed: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Ends well at the end, unless the test has killed it."""
    files = []
    for number, master in enumerate(MASTERS):
        file = folder / f"master-{number}"
        file.write_text(master)
        files.append(str(file))
    values = {"retry_seconds": [0.3] * 8, "jitter": 0, "post_seconds": 2, **changed}
    settings = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "IMAGELANE_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "IMAGELANE_KAFKA__STRICT_PARTITIONS": str(kafka.strict_partitions),
        "IMAGELANE_KAFKA__SPREAD_PARTITIONS": str(kafka.spread_partitions),
        "IMAGELANE_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
        "IMAGELANE_HTTP__ALLOWED_NETWORKS": json.dumps(["127.0.0.0/8"]),
        "IMAGELANE_NOTIFY_SIGNING__SECRET_FILES": json.dumps(files),
        "IMAGELANE_NOTIFY__ALLOW_HTTP": "true",
        "IMAGELANE_LOG__FORM": "json",
        **{f"IMAGELANE_NOTIFIER__{key.upper()}": json.dumps(one) for key, one in values.items()},
    }
    log = folder / "notifier.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imagelane.notifier"), env=settings, stderr=output
        )
    try:
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                assert await process.wait() == 0, log.read_text()
        assert process.returncode in (0, -signal.SIGKILL), log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
