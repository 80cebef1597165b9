"""`imagelane topics migrate`: gives the topics more partitions, while nothing runs, and moves what has to move.

Topics grow where they are, and records move inside of them; docs/decisions says why. Until topics have
grown one can go back; from then on the command only goes forward, and may be called until it is through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its stubs do not re-export it
    NewPartitions,
)
from msgspec import UNSET, structs

from imagelane.contracts.events import TopologyRecorded
from imagelane.contracts.parts import PartitionCounts
from imagelane.contracts.topics import URLS
from imagelane.core.topology import Expected, recorded_topics
from imagelane.ops.consumer_groups import ConsumerGroups
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.open_business import open_business
from imagelane.ops.refusals import told
from imagelane.ops.rehousing import HOMES, CopyError, Rehousing
from imagelane.ops.topics import Deployment, look
from imagelane.ops.topology_record import record_of, write_record
from imagelane.platform.broker_topics import found_topics
from imagelane.platform.latest_records import ReadingTooLongError
from imagelane.platform.settings import KafkaSettings
from imagelane.platform.topology import AGAIN_SECONDS, LOOK_SECONDS

SETTLE_SECONDS: Final = LOOK_SECONDS + AGAIN_SECONDS + 2.0
"""So long after the record says that a migration is under way, whoever still runs has noticed it."""
GROW_SECONDS: Final = 60.0
GROWN_POLL_SECONDS: Final = 0.1
SHOWN: Final = 10

Say = Callable[[str], None]


class NotReadyError(Exception):
    """The migration cannot begin, or cannot go on; the message says why and what to do."""


class Migration:
    """One deployment's way to other counts. Raises `NotReadyError`, `TopicsError`."""

    def __init__(
        self, settings: KafkaSettings, deployment_id: str, target: PartitionCounts, say: Say
    ) -> None:
        self._settings = settings
        self._deployment_id = deployment_id
        self._target = target
        self._say = say

    def run(self, *, with_open_jobs: bool = False, settle_seconds: float = SETTLE_SECONDS) -> None:
        """Does all of it, or what an earlier try has left to do."""
        try:
            deployment, record = self._begin()
            self._refuse_open_business(deployment, with_open_jobs=with_open_jobs)
            if record.growing_to is UNSET:
                self._fence(record)
                time.sleep(settle_seconds)
                self._refuse_late_business(deployment, record, with_open_jobs=with_open_jobs)
            self._grow(deployment)
            self._move(deployment, record)
            self._end(deployment)
        except (KafkaException, ReadingTooLongError, DeliveryError, CopyError) as error:
            raise NotReadyError(
                f"{told(error)}; what is done so far stays: call it again"
            ) from error

    # Before anything changes

    def _begin(self) -> tuple[Deployment, TopologyRecorded]:
        deployment = look(self._settings, self._deployment_id)
        record = deployment.record
        if record is None:
            raise NotReadyError("there is no topology record: `imagelane topics apply` writes it")
        reasons = [*self._wrong_records(record), *self._wrong_topics(deployment, record)]
        if reasons:
            raise NotReadyError("\n".join(reasons))
        return deployment, record

    def _wrong_records(self, record: TopologyRecorded) -> Iterator[str]:
        target = self._target
        if record.deployment_id != self._deployment_id:
            yield (
                f"these topics are the deployment {record.deployment_id!r}'s, and"
                f" IMAGELANE_DEPLOYMENT_ID says {self._deployment_id!r}"
            )
        if record.growing_to is not UNSET and target not in (record.growing_to, _counts_of(record)):
            yield (
                f"a migration to {record.growing_to.strict_partitions} strict and"
                f" {record.growing_to.spread_partitions} spread partitions has begun: end that first"
            )
        if target.strict_partitions < record.strict_partitions:
            yield (
                f"there are {record.strict_partitions} strict partitions, and Kafka takes none away:"
                f" {target.strict_partitions} are too few"
            )

    def _wrong_topics(self, deployment: Deployment, record: TopologyRecorded) -> Iterator[str]:
        made_as = {one.name: one.topic_id for one in recorded_topics(record)}
        for name, file in deployment.files.items():
            full, found = self._settings.topic(name), deployment.found.get(name)
            if found is None:
                yield f"{full} is missing"
            elif made_as.get(name, found.topic_id) != found.topic_id:
                yield f"{full} was deleted and made anew: `imagelane topics accept {name}` first"
            elif found.partitions > self._wanted.partitions_of(file):
                yield (
                    f"{full} has {found.partitions} partitions, and Kafka takes none away:"
                    f" {self._wanted.partitions_of(file)} are too few"
                )
            if file.partitioning == "strict" and file.compacted and name not in HOMES:
                yield f"there is no rule for where the records of {full} belong"

    def _refuse_open_business(self, deployment: Deployment, *, with_open_jobs: bool) -> None:
        members = ConsumerGroups(deployment.admin, self._settings).members()
        if members:
            running = ", ".join(f"{name} ({count})" for name, count in members.items())
            raise NotReadyError(f"services are running; stop all of them: {running}")
        if with_open_jobs:
            return
        self._say("looking whether the road is drained")
        open_ones = open_business(self._settings, deployment.admin, deployment.files)
        if open_ones:
            more = len(open_ones) - SHOWN
            lines = open_ones[:SHOWN] + ([f"… and {more} more"] if more > 0 else [])
            raise NotReadyError(
                "\n".join(["the road is not drained; start the services again and wait:", *lines])
            )

    def _fence(self, record: TopologyRecorded) -> None:
        self._say("recording that a migration is under way: no service starts from now on")
        self._write(structs.replace(record, growing_to=self._target))

    def _refuse_late_business(
        self, deployment: Deployment, record: TopologyRecorded, *, with_open_jobs: bool
    ) -> None:
        try:
            self._refuse_open_business(deployment, with_open_jobs=with_open_jobs)
        except NotReadyError:
            self._write(record)
            raise

    # Topics grow, records move

    def _grow(self, deployment: Deployment) -> None:
        counts = {name: self._wanted.partitions_of(file) for name, file in deployment.files.items()}
        small = [
            name for name, count in counts.items() if deployment.found[name].partitions < count
        ]
        if not small:
            return
        self._say(f"giving {len(small)} topics their new partitions")
        wanted = [NewPartitions(self._settings.topic(name), counts[name]) for name in small]
        for answer in deployment.admin.create_partitions(wanted).values():
            answer.result(GROW_SECONDS)
        deadline = time.monotonic() + GROW_SECONDS
        while not self._have(deployment, counts):
            if time.monotonic() > deadline:
                raise NotReadyError("the broker does not list the new partitions; call it again")
            time.sleep(GROWN_POLL_SECONDS)

    def _have(self, deployment: Deployment, counts: dict[str, int]) -> bool:
        found = found_topics(deployment.admin, self._settings, counts)
        return all(found[name].partitions == count for name, count in counts.items())

    def _move(self, deployment: Deployment, record: TopologyRecorded) -> None:
        rehousing = Rehousing(deployment.admin, self._settings)
        partitions, before = self._target.strict_partitions, record.strict_partitions
        strict = [one for one in deployment.files.values() if one.partitioning == "strict"]
        for file in strict:
            began = time.monotonic()
            if file.compacted:
                moved, what = rehousing.log(file, partitions), "live records"
            elif file.name == URLS:
                continue  # intake takes lists from any partition
            else:
                moved, what = rehousing.unread(file, partitions, before), "unread records"
            if moved:
                seconds = time.monotonic() - began
                name = self._settings.topic(file.name)
                self._say(f"moved {moved} {what} of {name} in {seconds:.1f} s")

    def _end(self, deployment: Deployment) -> None:
        found = found_topics(deployment.admin, self._settings, deployment.files)
        self._write(record_of(self._wanted, found))
        target = self._target
        self._say(
            f"recorded {target.strict_partitions} strict and {target.spread_partitions} spread"
            " partitions. Set IMAGELANE_KAFKA__STRICT_PARTITIONS"
            f"={target.strict_partitions} and IMAGELANE_KAFKA__SPREAD_PARTITIONS"
            f"={target.spread_partitions} for every service, and start them"
        )

    def _write(self, record: TopologyRecorded) -> None:
        write_record(self._settings, structs.replace(record, occurred_at=datetime.now(UTC)))

    @property
    def _wanted(self) -> Expected:
        return Expected(
            self._deployment_id,
            self._target.strict_partitions,
            self._target.spread_partitions,
            self._settings.topic_prefix,
        )


def _counts_of(record: TopologyRecorded) -> PartitionCounts:
    """Where one can go back to, as long as no topic has grown."""
    spread = record.spread_partitions
    return PartitionCounts(
        strict_partitions=record.strict_partitions,
        spread_partitions=record.strict_partitions if spread is UNSET else spread,
    )
