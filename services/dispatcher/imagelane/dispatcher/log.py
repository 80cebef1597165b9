"""The dispatcher's own log, `calls`: every write is one transaction with the input's offsets and the group's metadata.

A worker that lost its membership cannot write: that is the fence. All methods belong to the one Kafka thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from imagelane.contracts.codec import Headers, encode, headers_of
from imagelane.contracts.events import JobRecorded, LaneRecorded
from imagelane.contracts.topics import CALLS, dead_letter_topic
from imagelane.dispatcher.core.book import JobKey
from imagelane.dispatcher.failpoints import OFF, Failpoints
from imagelane.dispatcher.metrics import TRANSACTION_SECONDS, TRANSACTIONS
from imagelane.platform.dead_letters import dead_letter_headers
from imagelane.platform.groups import client_properties
from imagelane.platform.producer import PRODUCER_DEFAULTS
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings

SOURCE: Final = "/services/dispatcher"
ANSWER_SECONDS: Final = 10.0
TRANSACTION_MS: Final = 10_000
METADATA_MARK: Final = b"CGMDv2:"
ANY_PARTITION: Final = -1


class TransactionAbortedError(Exception):
    """Nothing was written. Records of the input must be read again, and never used again."""


@dataclass(frozen=True, slots=True)
class Write:
    """One record of a transaction, on its way to a topic (named without prefix)."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of_event(cls, event: LaneRecorded | JobRecorded, partition: int) -> Write:
        """A record of the log itself."""
        return cls(
            CALLS, partition, log_key(event), encode(event), headers_of(event, source=SOURCE)
        )

    @classmethod
    def of_end(cls, job: JobKey, partition: int) -> Write:
        """The end of a job's record: compaction removes both."""
        return cls(CALLS, partition, _job_key(*job), None, [])

    @classmethod
    def of_dead_letter(cls, record: Record, error: Exception, group: str) -> Write:
        """A record of the input that cannot be read, kept as it is."""
        headers = dead_letter_headers(record, error, group=group)
        topic = dead_letter_topic(record.topic)
        return cls(topic, ANY_PARTITION, record.key, record.value, headers)


def log_key(event: LaneRecorded | JobRecorded) -> bytes:
    """What a record is about. Its partition is the customer's, whatever this hashes to."""
    if isinstance(event, LaneRecorded):
        return f"lane|{event.customer_id}".encode()
    return _job_key(event.customer_id, event.job_id)


def _job_key(customer_id: str, job_id: str) -> bytes:
    return f"job|{customer_id}|{job_id}".encode()


def proves_membership(group_metadata: bytes) -> bool:
    """Whether the metadata names a member of a generation; blank metadata would bypass the fence."""
    if not group_metadata.startswith(METADATA_MARK):
        return False
    rest = group_metadata[len(METADATA_MARK) :]
    generation, names = int.from_bytes(rest[:4], "little", signed=True), rest[4:].split(b"\0")
    return generation >= 1 and len(names) > 1 and bool(names[1])


class CallLog:
    """Writes to the log. Raises `KafkaException` when the process must leave."""

    def __init__(
        self, settings: KafkaSettings, *, worker_name: str, failpoints: Failpoints = OFF
    ) -> None:
        self._settings = settings
        self._failpoints = failpoints
        self._log = structlog.get_logger("imagelane.log")
        self._producer = Producer(
            {
                **PRODUCER_DEFAULTS,
                **client_properties(settings),
                "transactional.id": f"{settings.group('dispatcher')}-{worker_name}",
                "transaction.timeout.ms": TRANSACTION_MS,
                "delivery.timeout.ms": TRANSACTION_MS,
                "retry.backoff.ms": 10,  # the default stalls each commit of offsets for 100 ms
                "linger.ms": 0,
                # Without these two, `send_offsets_to_transaction` did not return after four of eight
                # deaths of the broker (librdkafka 2.16), and the watchdog took 30 s; with them after none.
                "metadata.max.age.ms": 6_000,
                "connections.max.idle.ms": 8_000,
            }
        )

    def open(self) -> None:
        """Ends what an earlier process of this name has left open, and shuts that process out."""
        _until_done(lambda: self._producer.init_transactions(ANSWER_SECONDS))

    def write(
        self,
        writes: Iterable[Write],
        offsets: Sequence[TopicPartition],
        group_metadata: bytes,
    ) -> None:
        """Makes all of it durable, or nothing: then it raises `TransactionAbortedError`."""
        if not proves_membership(group_metadata):
            TRANSACTIONS.labels("not_a_member").inc()
            raise TransactionAbortedError("the group has not taken this worker in yet")
        began_at = time.monotonic()
        try:
            self._failpoints.reach("before_transaction")
            self._producer.begin_transaction()
            for write in writes:
                self._produce(write)
            self._failpoints.reach("in_transaction")
            _until_done(
                lambda: self._producer.send_offsets_to_transaction(
                    list(offsets), group_metadata, ANSWER_SECONDS
                )
            )
            self._failpoints.reach("before_commit")
            _until_done(lambda: self._producer.commit_transaction(ANSWER_SECONDS))
        except KafkaException as error:
            self._abort(error)
        TRANSACTIONS.labels("committed").inc()
        TRANSACTION_SECONDS.observe(time.monotonic() - began_at)

    def _produce(self, write: Write) -> None:
        self._producer.produce(
            self._settings.topic(write.topic),
            key=write.key,
            value=write.value,
            partition=write.partition,
            headers=write.headers,  # type: ignore[arg-type] # the stubs want str | bytes | None values
        )

    def _abort(self, error: KafkaException) -> None:
        cause: KafkaError = error.args[0]
        if cause.fatal() or not cause.txn_requires_abort():
            raise error
        TRANSACTIONS.labels("aborted").inc()
        self._log.warning("transaction.aborted", error=cause.str())
        _until_done(lambda: self._producer.abort_transaction(ANSWER_SECONDS))
        raise TransactionAbortedError(cause.str()) from error


def _until_done(call: Callable[[], None]) -> None:
    """Calls again while the client says that the same call may be repeated; the watchdog has the patience."""
    while True:
        try:
            call()
        except KafkaException as error:
            if error.args[0].fatal() or not error.args[0].retriable():
                raise
        else:
            return
