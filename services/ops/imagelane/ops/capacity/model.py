"""The capacity model: pure arithmetic over `constants`. Every formula stands in docs/capacity.md in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from imagelane.contracts.topic_files import TopicFile
from imagelane.ops.capacity import constants as c

DAY_SECONDS: Final = 86_400
MIB: Final = 1024**2
PARTITION_STEP: Final = 12
MAX_STRICT: Final = 1_000
MAX_SPREAD: Final = 10_000
"""What the settings take."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked for. Megabytes are 10^6 bytes."""

    images_per_day: float
    megabytes_per_image: float = 1.5
    result_megabytes: float = 0.25
    outputs: int = 1
    images_per_list: int = 1_000
    images_per_call: int = 1_000
    peak_factor: float = 2.0
    """The busiest hour against the mean one."""
    busy: float = 0.6
    """How busy a core may be at the peak."""
    replication: int = 3
    result_days: float = 30.0
    tracker_days: float = 90.0
    cores_per_processor: int = 4

    @property
    def mean_per_second(self) -> float:
        """Images a second over the day."""
        return self.images_per_day / DAY_SECONDS

    @property
    def peak_per_second(self) -> float:
        """Images a second in the busiest hour."""
        return self.mean_per_second * self.peak_factor


@dataclass(frozen=True, slots=True)
class ServiceNeed:
    """`cores` at the peak, at the allowed business; `replicas` of one process each."""

    service: str
    cores: float
    replicas: int
    memory_mib_each: float


@dataclass(frozen=True, slots=True)
class TopicNeed:
    """Bytes as they lie on the broker's disks: compressed, every copy."""

    topic: str
    bytes_per_image: float
    retention_days: float
    disk_bytes: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that ends at so many images a day, and what then."""

    what: str
    images_per_day: float
    then: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a load needs. Rates are of the peak, sizes of the mean."""

    load: Load
    services: tuple[ServiceNeed, ...]
    topics: tuple[TopicNeed, ...]
    strict_partitions: int
    spread_partitions: int
    broker_cores: float
    broker_write_bytes_per_second: float
    broker_read_bytes_per_second: float
    store_requests_per_second: float
    store_in_bytes_per_second: float
    store_out_bytes_per_second: float
    results_bytes: float
    originals_bytes: float
    fetched_bytes_per_second: float
    database_rows: float
    database_bytes: float
    limits: tuple[Limit, ...]

    @property
    def broken(self) -> list[Limit]:
        """The limits that lie below the load, the lowest first."""
        return [one for one in self.limits if one.images_per_day < self.load.images_per_day]

    @property
    def disk_bytes(self) -> float:
        """Of all brokers together."""
        return sum(one.disk_bytes for one in self.topics)

    @property
    def cores(self) -> float:
        """Of all services together, the brokers' apart."""
        return sum(one.cores for one in self.services)


def capacity(load: Load, files: Mapping[str, TopicFile]) -> Capacity:
    """What the load needs with these topic files, and which limit comes first."""
    services = tuple(_services(load))
    replicas = {one.service: one.replicas for one in services}
    strict = _partitions(max(replicas["batcher"], replicas["dispatcher"]), MAX_STRICT)
    spread = _partitions(max(replicas["downloader"], replicas["processor"]), MAX_SPREAD)
    topics = tuple(_topics(load, files))
    written = sum(c.TOPIC_BYTES[one.topic].value for one in topics) * load.peak_per_second
    readers = sum(c.TOPIC_BYTES[name].value * len(files[name].consumers) for name in c.TOPIC_BYTES)
    original, result = load.megabytes_per_image * 1e6, load.result_megabytes * 1e6 * load.outputs
    peak, mean = load.peak_per_second, load.mean_per_second
    return Capacity(
        load=load,
        services=services,
        topics=topics,
        strict_partitions=strict,
        spread_partitions=spread,
        broker_cores=c.CPU_MS["kafka"].value * peak / 1_000 / load.busy * load.replication,
        broker_write_bytes_per_second=written * load.replication,
        broker_read_bytes_per_second=readers * peak + written * (load.replication - 1),
        store_requests_per_second=peak * _store_requests(load),
        store_in_bytes_per_second=peak * (original + result),
        store_out_bytes_per_second=peak * (original + result),
        results_bytes=load.images_per_day * load.result_days * result,
        originals_bytes=mean * c.ORIGINAL_SECONDS.value * original,
        fetched_bytes_per_second=peak * original,
        database_rows=load.images_per_day * load.tracker_days * c.DATABASE_ROWS.value,
        database_bytes=load.images_per_day * load.tracker_days * c.DATABASE_BYTES.value,
        limits=tuple(sorted(_limits(load, files), key=lambda one: one.images_per_day)),
    )


def days_kept(file: TopicFile) -> float:
    """How long the topic keeps a record; of a compacted one, until it is cleaned."""
    if file.compacted:
        return c.COMPACTED_DAYS
    return int(file.config["retention.ms"]) / 1_000 / DAY_SECONDS


def _services(load: Load) -> Iterator[ServiceNeed]:
    for service, memory in c.MEMORY_MIB.items():
        milliseconds = _cpu_ms(load, service)
        cores = milliseconds * load.peak_per_second / 1_000 / load.busy
        each = load.cores_per_processor if service == "processor" else 1
        replicas = max(c.LEAST_REPLICAS[service], math.ceil(cores / each))
        extra = c.CHILD_MIB.value * each if service == "processor" else 0.0
        yield ServiceNeed(service, cores, replicas, memory.value + extra)


def _cpu_ms(load: Load, service: str) -> float:
    milliseconds = c.CPU_MS[service].value
    size = load.megabytes_per_image / c.MEASURED_MEGABYTES
    if service == "processor":
        return milliseconds + c.CHILD_CPU_MS.value * size
    if service == "downloader":
        return milliseconds + c.TRANSFER_CPU_MS.value * size
    return milliseconds


def _topics(load: Load, files: Mapping[str, TopicFile]) -> Iterator[TopicNeed]:
    for topic, size in c.TOPIC_BYTES.items():
        days = days_kept(files[topic])
        yield TopicNeed(
            topic, size.value, days, size.value * load.images_per_day * days * load.replication
        )


def _store_requests(load: Load) -> float:
    """An original is put, read and deleted; each output is put, and read by the batch API."""
    return 3 + 2 * load.outputs


def _partitions(replicas: int, most: int) -> int:
    """In steps that have many divisors, and room for half as many workers more."""
    steps = math.ceil(replicas * 1.5 / PARTITION_STEP)
    return min(max(steps, 1) * PARTITION_STEP, most)


def _limits(load: Load, files: Mapping[str, TopicFile]) -> Iterator[Limit]:
    """Where something ends with the settings of the production overlay, and beyond it."""

    def per_day(images_per_second: float) -> float:
        return images_per_second / load.peak_factor * DAY_SECONDS

    processor_ms = _cpu_ms(load, "processor") / load.busy
    pod = 1_000 * load.cores_per_processor / processor_ms
    yield Limit(
        f"image work: {c.PRODUCTION_PROCESSORS} processors of {load.cores_per_processor} cores",
        per_day(pod * c.PRODUCTION_PROCESSORS),
        "more processors (KEDA's maximum, nodes), then spread partitions",
    )
    yield Limit(
        f"image work: a processor for each of {MAX_SPREAD:,} spread partitions",
        per_day(pod * MAX_SPREAD),
        "more cores per processor",
    )
    yield Limit(
        "the batcher: a worker for each of 12 strict partitions",
        per_day(12 * 1_000 * load.busy / c.CPU_MS["batcher"].value),
        "`imagelane topics migrate` to more strict partitions, before that many lists are open",
    )
    yield Limit(
        "the tracker: replicas read side by side, and write by turns",
        per_day(1_000 * load.busy / c.CPU_MS["tracker"].value),
        "a deployment per group of customers, each with a topic prefix and a database of its own",
    )
    yield Limit(
        f"PostgreSQL: {c.DATABASE_LIMIT_BYTES.value / 1e12:.0f} TB of rows",
        c.DATABASE_LIMIT_BYTES.value / (load.tracker_days * c.DATABASE_BYTES.value),
        "a shorter IMAGELANE_TRACKER__RETENTION_DAYS, or databases by group of customers",
    )
    stored = (
        sum(size.value * days_kept(files[topic]) for topic, size in c.TOPIC_BYTES.items())
        * load.replication
    )
    yield Limit(
        f"the brokers' disks: three of {c.BROKER_DISK_BYTES.value / 1e12:.0f} TB",
        3 * c.BROKER_DISK_BYTES.value / stored,
        "more brokers or larger disks, or shorter retentions in schemas/topics",
    )
    yield Limit(
        f"S3: {c.STORE_PUTS.value:,.0f} writes a second in one prefix",
        per_day(c.STORE_PUTS.value / (1 + load.outputs)),
        "nothing at AWS, which divides a prefix by itself; several buckets by destination elsewhere",
    )
    yield Limit(
        f"one network of {c.NETWORK_BITS.value / 1e9:.0f} Gbit/s for what is fetched",
        per_day(c.NETWORK_BITS.value / 8 / (load.megabytes_per_image * 1e6)),
        "downloaders on more nodes, and more ways out",
    )
