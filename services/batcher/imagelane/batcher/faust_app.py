"""Faust, set up for this service, and the three places where it is told to behave otherwise.

Version 0.15.3 is pinned: `_add_gap`, `_new_transport`, `consumer_generation_id` and
`message.generation_id` are its inner affairs, and a test names them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol, cast

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.consumer import RecordMap
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP
from faust.types.auth import CredentialsT
from faust.types.transports import TransportT
from mode import CrashingSupervisor, get_logger

from imagelane.batcher.metrics import GAPS_IGNORED
from imagelane.batcher.settings import Settings
from imagelane.platform.kafka_security import SecuritySettings

TABLE = "lanes"
LINGER_SECONDS = 0.02
GATHER_SECONDS = 0.04
REQUEST_TIMEOUT_SECONDS = 60.0
COMMIT_SECONDS = 1.0
METADATA_SECONDS = 5
"""A topic that got more partitions is noticed within this time, and leads to a rebalance."""
MAX_WAITING_MESSAGES = 5_000
MAX_RECORD_BYTES = 2_000_000
"""Dead letters carry a record of up to a megabyte and headers on top."""


class RebalanceListener(Protocol):
    """Whoever has to know when partitions are about to move, and when Faust says that it is ready."""

    def shut(self) -> None:
        """A rebalance begins. Called from the consumer's thread."""
        ...

    def begin(self) -> None:
        """Faust is ready, so it says."""
        ...


class LaneConsumer(Consumer):
    """Does not believe in holes, and lets records gather."""

    logger = get_logger("faust.consumer")
    _pause_seconds = 0.0

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 # Faust's signature
    ) -> RecordMap:
        # A copy: Faust empties its set while the fetch waits, which aiokafka takes for "all partitions";
        # what it then takes out of the inputs is dropped, and never read again.
        wanted = None if active_partitions is None else set(active_partitions)
        # One by one, records cost three times as much as forty together.
        await asyncio.sleep(self._pause_seconds)
        records = await super()._getmany(wanted, timeout)
        self._pause_seconds = GATHER_SECONDS if records else 0.0
        return records

    async def _add_gap(self, _tp: TP, _offset_from: int, _offset_to: int) -> None:
        # Faust reports holes that are none; one acknowledgement inside would commit all of it.
        GAPS_IGNORED.inc()

    async def set_back(self, offsets: Mapping[TP, int]) -> bool:
        """Commits these offsets, though more is committed. Whether that was done."""
        return await self._commit(offsets)


class LaneTransport(Transport):
    """Faust's transport with our consumer."""

    Consumer = LaneConsumer


class LaneApp(faust.App):
    """Faust's application; passes on when rebalances begin and end, and keeps nothing on disk."""

    logger = get_logger("faust.app")
    listener: RebalanceListener

    @property
    def lane_consumer(self) -> LaneConsumer:
        """The consumer, by its own type."""
        return cast(LaneConsumer, self.consumer)

    def on_rebalance_start(self) -> None:
        """A rebalance begins."""
        self.listener.shut()
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Recovery is complete, so Faust says."""
        super().on_rebalance_end()
        self.listener.begin()

    def _new_transport(self) -> TransportT:
        return LaneTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """With tables in memory there is nothing to keep."""


def create_app(settings: Settings) -> LaneApp:
    """The application. Its id names the consumer group and the changelog, so it never changes."""
    kafka = settings.kafka
    session_seconds = kafka.session_timeout_seconds
    app = LaneApp(
        kafka.group("batcher"),
        version=1,
        broker=[f"kafka://{one.strip()}" for one in kafka.bootstrap_servers.split(",")],
        broker_credentials=credentials(kafka.security),
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=min(3.0, session_seconds / 4),
        broker_request_timeout=max(REQUEST_TIMEOUT_SECONDS, session_seconds + 5.0),
        broker_commit_interval=COMMIT_SECONDS,
        consumer_group_instance_id=settings.batcher.group_instance_id,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_SECONDS * 1_000,
        producer_linger=LINGER_SECONDS,
        producer_request_timeout=REQUEST_TIMEOUT_SECONDS,
        producer_max_request_size=MAX_RECORD_BYTES,
        agent_supervisor=CrashingSupervisor,
        store="memory://",
        table_standby_replicas=0,
        topic_partitions=kafka.strict_partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Acknowledgements are our own affair, so there is nothing to wait for at a revocation.
        stream_wait_empty=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    # Beyond this the inputs stand still for a while; the default of 100 is one batch of removals.
    app.producer.buffer.max_messages = MAX_WAITING_MESSAGES
    return app


def credentials(security: SecuritySettings) -> CredentialsT | None:
    """What aiokafka shows the broker. None for plaintext. Raises `OSError` for a file that is gone."""
    if not security.secures:
        return None
    if security.username is None:
        return SSLCredentials(security.tls_context())
    return SASLCredentials(
        username=security.username,
        password=security.password(),
        mechanism=security.mechanism,
        ssl_context=security.tls_context(),
    )
