"""The watch over the deployment's topics: compared at start, and every few seconds for as long as it runs."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from imagelane.contracts.codec import UnreadableRecordError, decode
from imagelane.contracts.events import TopologyRecorded
from imagelane.contracts.topic_files import TopicFile, read_topic_files, schemas_folder
from imagelane.contracts.topics import TOPOLOGY
from imagelane.core.topology import (
    Expected,
    FoundTopic,
    difference,
    losing_differences,
    replica_difference,
)
from imagelane.platform.broker_topics import found_topics, topic_configs
from imagelane.platform.groups import KafkaStartError, admin_client, connect, require_topics
from imagelane.platform.latest_records import ReadingTooLongError, end_offsets, latest_records
from imagelane.platform.rights import require_rights
from imagelane.platform.settings import KafkaSettings, ServiceSettings

LOOK_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 1.0
UNCONFIRMED_SECONDS: Final = 25.0
RECORD_KEY: Final = b"topology"


class TopologyError(Exception):
    """The topics are not what they were made as; the message names topic, setting and both values."""


class TopologyWatch:
    """Compares the topology record, the settings and the broker's topics. Belongs to the event loop.

    Of all topics it looks at those that the services, by the topic files, produce to or consume.
    A look costs the broker three small requests.
    """

    def __init__(self, settings: ServiceSettings, *services: str) -> None:
        kafka = settings.kafka
        self._settings = kafka
        self._topics = topics_of(*services)
        self._rights = rights_of(*services)
        self._expected = expected_of(kafka, settings.deployment_id)
        self._admin = admin_client(kafka)
        self._record: TopologyRecorded | None = None
        self._record_end = -1
        self._configs_are_right = False
        self._difference = ""
        self._confirmed_at = time.monotonic()
        self._log = structlog.get_logger("imagelane.topology")

    @property
    def difference(self) -> str:
        """What the last look has found different, or an empty string."""
        return self._difference

    @property
    def doubt(self) -> str:
        """Why nothing may be sent now, or an empty string. For every thread."""
        if self._difference:
            return self._difference
        seconds = time.monotonic() - self._confirmed_at
        if seconds > UNCONFIRMED_SECONDS:
            return f"the topics could not be looked at for {UNCONFIRMED_SECONDS:.0f} s"
        return ""

    # What the probes ask.

    @property
    def name(self) -> str:
        """By which the probes' answers call it."""
        return "topology"

    def lives(self) -> str:
        """Nothing: another process would find the same topics."""
        return ""

    def is_ready(self) -> str:
        """Why nothing is sent."""
        return self.doubt

    def has_started(self) -> str:
        """Nothing: what is wrong at the start ends the process."""
        return ""

    # Looking

    async def require(self) -> None:
        """The comparison at start.

        Raises `KafkaStartError` when the broker or a topic is not there, and `TopologyError`.
        """
        names = [topic.name for topic in self._topics]
        await asyncio.to_thread(require_topics, self._settings, [TOPOLOGY, *names])
        try:
            await asyncio.to_thread(connect, self._admin)
            await asyncio.to_thread(require_rights, self._admin, self._settings, self._rights)
            await self._look()
        except (KafkaException, ReadingTooLongError) as error:
            raise KafkaStartError(f"the topics could not be looked at: {error}") from error
        self._refuse()

    async def stand_guard(self) -> None:
        """For who produces: looks for ever. Raises `TopologyError` when two looks find a difference.

        One may be of a broker that starts and does not know all of its topics yet.
        """
        while True:
            await self._try_to_look()
            if self._difference:
                await asyncio.sleep(AGAIN_SECONDS)
                await self._try_to_look()
                self._refuse()
            await asyncio.sleep(LOOK_SECONDS)

    async def observe(self) -> None:
        """For who holds lanes: looks for ever, so that `doubt` is true."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._try_to_look()

    def _refuse(self) -> None:
        if self._difference:
            raise TopologyError(self._difference)

    async def _try_to_look(self) -> None:
        try:
            await self._look()
        except (KafkaException, ReadingTooLongError) as error:
            self._record_end = -1
            self._log.warning("topology.unknown", error=str(error))

    async def _look(self) -> None:
        self._difference = await asyncio.to_thread(self._compare)
        self._confirmed_at = time.monotonic()

    def _compare(self) -> str:
        names = [topic.name for topic in self._topics]
        found = found_topics(self._admin, self._settings, [TOPOLOGY, *names])
        self._look_at_record(TOPOLOGY in found)
        different = difference(self._expected, self._record, self._topics, found)
        if different or self._configs_are_right:
            return different
        losses = self._losses(found)
        self._configs_are_right = not losses
        return losses

    def _look_at_record(self, there: bool) -> None:
        if not there:
            self._record, self._record_end = None, -1
            return
        end = sum(end_offsets(self._admin, self._settings, TOPOLOGY).values())
        if end != self._record_end:
            self._record = read_record(self._settings, self._admin)
            self._record_end = end

    def _losses(self, found: dict[str, FoundTopic]) -> str:
        configs = topic_configs(self._admin, self._settings, [one.name for one in self._topics])
        losses = [
            f"{self._settings.topic(topic.name)}: {what}"
            for topic in self._topics
            for what in self._losses_of(topic, found[topic.name], configs[topic.name])
        ]
        return "; ".join(losses)

    def _losses_of(self, topic: TopicFile, found: FoundTopic, config: dict[str, str]) -> list[str]:
        few = replica_difference(found, self._settings.replication_factor)
        return [*losing_differences(topic, config), *([few] if few else [])]


def topics_of(*services: str) -> list[TopicFile]:
    """The topics that the services produce to or consume, but the one of the record itself."""
    files = read_topic_files(schemas_folder()).values()
    used = (one for one in files if {*services} & {*one.producers, *one.consumers})
    return [one for one in used if one.name != TOPOLOGY]


def rights_of(*services: str) -> dict[str, list[str]]:
    """What the services do with each topic, by the topic files; everybody reads the record."""
    wanted = {TOPOLOGY: ["READ"]}
    for topic in topics_of(*services):
        reads, writes = {*services} & {*topic.consumers}, {*services} & {*topic.producers}
        wanted[topic.name] = ["READ"] * bool(reads) + ["WRITE"] * bool(writes)
    return wanted


def expected_of(kafka: KafkaSettings, deployment_id: str) -> Expected:
    """What the settings say."""
    return Expected(
        deployment_id, kafka.strict_partitions, kafka.spread_partitions, kafka.topic_prefix
    )


def read_record(
    settings: KafkaSettings, admin: AdminClient | None = None
) -> TopologyRecorded | None:
    """The topology record. A connected `admin` spares a new client.

    Raises `KafkaException`, `ReadingTooLongError` and `TopologyError`.
    """
    values = list(latest_records(settings, TOPOLOGY, admin=admin).values())
    if not values:
        return None
    try:
        (value,) = values
        record: TopologyRecorded = decode(TOPOLOGY, value)
    except (ValueError, UnreadableRecordError) as error:
        name = settings.topic(TOPOLOGY)
        raise TopologyError(f"the record on {name} cannot be read: {error}") from error
    return record
