"""The gateway's routes on a real loopback server, with a Kafka that does what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from msgspec import UNSET
from standardwebhooks import Webhook
from tests.unit.gateway import described
from tests.unit.gateway.tracked import TrackedJobs

from imagelane.contracts.codec import Headers
from imagelane.contracts.events import Event, ListSubmitted
from imagelane.contracts.keys import KeyRecorded, Scope
from imagelane.core.admission import AdmissionPolicy
from imagelane.core.api_keys import KeyRing, sha256_of, token_of
from imagelane.gateway.access import Access
from imagelane.gateway.app import Parts, application, listening
from imagelane.gateway.core.recent import Recent
from imagelane.gateway.core.submission import Rules
from imagelane.gateway.deciding import Deciding
from imagelane.gateway.deliveries import Deliveries
from imagelane.gateway.health import Health
from imagelane.gateway.limits import Limits
from imagelane.gateway.looking import Looking
from imagelane.gateway.notifying import Notifying
from imagelane.gateway.openapi import OpenApi
from imagelane.gateway.public_files import PublicFiles, PublicFolder
from imagelane.gateway.receiver import WebhookReceiver
from imagelane.gateway.repeats import Repeats
from imagelane.gateway.results import Results
from imagelane.gateway.settings import GatewaySettings
from imagelane.gateway.signing import Signing
from imagelane.gateway.standstill import Standstill
from imagelane.gateway.status import Status, TrackedStatus
from imagelane.gateway.streams import Streams
from imagelane.gateway.submitting import Submissions
from imagelane.platform.directory_store import DirectoryStore
from imagelane.platform.producer import DeliveryError
from imagelane.tracking.database import DatabaseError, DatabaseSettings
from imagelane.tracking.queries import Queries

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
OLD_SECRET = "whsec_b2xkb2xkb2xkb2xkb2xkb2xk"
NEW_MASTER, OLD_MASTER = b"n" * 32, b"o" * 32
DEPLOYMENT_SECRET = "a secret of the deployment"


@dataclass
class FakeKafka:
    """Keeps what it is sent. `mood`: takes it, refuses it, never answers, or is beyond repair."""

    mood: str = "takes"
    reachable: bool = True
    asked: int = 0
    sent: list[Any] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)

    def send(self, event: Event) -> asyncio.Future[None]:
        return self._answered(event)

    def send_bytes(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers
    ) -> asyncio.Future[None]:
        assert topic == "urls"
        assert value is not None
        submitted = msgspec.json.decode(value, type=ListSubmitted)
        assert key == submitted.customer_id.encode()
        self.headers.append(headers)
        return self._answered(submitted)

    def _answered(self, event: Event | ListSubmitted) -> asyncio.Future[None]:
        if self.mood == "broken":
            raise DeliveryError("fatal")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.mood == "takes":
            self.sent.append(event)
            future.set_result(None)
        elif self.mood == "refuses":
            future.set_exception(DeliveryError("timed out"))
        return future

    async def can_reach(self, topic: str, timeout_seconds: float) -> bool:
        assert topic == "callbacks"
        assert timeout_seconds > 0
        self.asked += 1
        return self.reachable


@dataclass
class Keys:
    """A ring that a test fills; `token` makes a key that opens something."""

    complete: bool = True
    ring: KeyRing = field(default_factory=KeyRing)
    made: int = 0

    def token(
        self,
        customer_id: str | None,
        *scopes: Scope,
        expires_in: timedelta | None = None,
        revoked: bool = False,
    ) -> str:
        self.made += 1
        key_id, token = token_of(self.made.to_bytes(39, "little"))
        now = datetime.now(UTC)
        self.ring.fold(
            KeyRecorded(
                key_id=key_id,
                secret_sha256=sha256_of(token),
                scopes=list(scopes),
                name=f"test {self.made}",
                occurred_at=now,
                customer_id=UNSET if customer_id is None else customer_id,
                expires_at=UNSET if expires_in is None else now + expires_in,
                revoked_at=now if revoked else UNSET,
            )
        )
        return token


@dataclass
class Tracker:
    """The tracker's database, which a test may take away."""

    jobs: TrackedJobs = field(default_factory=TrackedJobs)
    is_there: bool = True

    async def queries(self) -> Queries:
        if not self.is_there:
            raise DatabaseError("there is no database")
        return cast("Queries", self.jobs)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Topics:
    """What the gateway finds of the topics of those who hold lanes."""

    difference: str = ""


@dataclass
class Gateway:
    """A running gateway and a client that speaks to it."""

    url: str
    session: aiohttp.ClientSession
    kafka: FakeKafka
    keys: Keys
    tracker: Tracker
    root: Path
    private: Path
    parts: Parts
    failed: asyncio.Future[None]
    topics: Topics
    token: str = ""

    async def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> Answer:
        """Asks with the key of `acme`, or with another one; with none where it is empty."""
        token = self.token if token is None else token
        headers = dict(more.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.request(
            method, f"{self.url}{path}", headers=headers, **more
        ) as answer:
            body = await answer.read()
            described.check(method, path, answer.status, answer.headers, body)
            return Answer(answer.status, answer.headers, body)

    @property
    def uploads(self) -> list[Path]:
        """What lies in the private store."""
        return [path for path in self.private.rglob("*") if path.is_file()]


openapi = cache(OpenApi)  # reading it takes longer than most tests
Start = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @asynccontextmanager
    async def started(
        *,
        secrets: tuple[str, ...] = (SECRET, OLD_SECRET),
        masters: tuple[bytes, ...] = (NEW_MASTER, OLD_MASTER),
        prefix: str = "",
        database: DatabaseSettings | None = None,
        **changed: Any,
    ) -> AsyncIterator[Gateway]:
        values = {"body_seconds": 0.3, "kafka_seconds": 0.2, "stream_seconds": 0.02} | changed
        settings = GatewaySettings.model_validate(
            {"port": 0, "deployment_secret": DEPLOYMENT_SECRET, **values}
        )
        kafka, keys, tracker, topics = FakeKafka(), Keys(), Tracker(), Topics()
        private = tmp_path / "private"
        private.mkdir(exist_ok=True)
        deliveries = Deliveries(kafka, settings.kafka_seconds)
        recent = Recent(max_jobs=100, max_seconds=60)
        tracked = TrackedStatus(database) if database is not None else None
        status: Status = tracked or tracker
        looking = Looking(status, recent, Signing(), Standstill(topics))
        receiver = WebhookReceiver([Webhook(one) for one in secrets], kafka, settings)
        parts = Parts(
            health=Health(kafka),
            receiver=receiver,
            files=PublicFiles({"default": PublicFolder(tmp_path, prefix)}),
            openapi=openapi(),
            submissions=Submissions(
                settings,
                DirectoryStore(private),
                deliveries,
                Repeats(recent, status),
                Limits(settings, status),
                rules=Rules({"default", "archive"}, AdmissionPolicy()),
            ),
            looking=looking,
            results=Results(looking, status, Signing()),
            streams=Streams(settings, looking, status),
            deciding=Deciding(settings, looking, status, deliveries),
            notifying=Notifying(masters),
        )
        async with (
            listening(application(parts, Access(keys)), settings) as url,
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            gateway = Gateway(
                url,
                session,
                kafka,
                keys,
                tracker,
                tmp_path,
                private,
                parts,
                receiver.failed,
                topics,
            )
            gateway.token = keys.token("acme", "submit", "read")
            yield gateway
        if tracked is not None:
            await tracked.close()

    return started
