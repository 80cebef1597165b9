"""Everything that the capacity model has been told, in one place: value, where from, when.

Measured on two cores of a shared machine: trust ratios, and measure anew on yours (`make bench`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, and why it is believed."""

    value: float
    unit: str
    source: str
    date: str


BENCH: Final = "docs/performance.md"
RUN: Final = "`imagelane local`, one list of 5,000 images of 3 KB"
DAY: Final = "2026-11-21"


def _bench(value: float, unit: str = "ms CPU per image", note: str = "") -> Constant:
    return Constant(value, unit, f"{BENCH}{note}", DAY)


CPU_MS: Final[Mapping[str, Constant]] = {
    "intake": _bench(0.024),
    "downloader": _bench(0.524),
    "processor": _bench(0.367, note=", its children apart"),
    "batcher": _bench(0.165),
    "dispatcher": _bench(0.037),
    "tracker": _bench(0.11, note=", with the others on the same cores"),
    "notifier": Constant(0.001, "ms CPU per image", "one post per job: an estimate", DAY),
    "gateway": Constant(
        0.01, "ms CPU per image", "one status page per 100 images: an estimate", DAY
    ),
    "kafka": _bench(0.170),
}
"""What a record costs where many share a request, as they do at the loads that are planned for here."""

CHILD_CPU_MS: Final = _bench(64.7, note=", decode, resize, encode and write of a photo")
TRANSFER_CPU_MS: Final = _bench(4.5, note=", downloader per photo less per tiny image")
MEASURED_MEGABYTES: Final = 1.5
"""Per photo, where the two above were measured."""

MEMORY_MIB: Final[Mapping[str, Constant]] = {
    "intake": _bench(74, "MiB RSS"),
    "downloader": _bench(100, "MiB RSS"),
    "processor": _bench(65, "MiB RSS", ", its children apart"),
    "batcher": _bench(83, "MiB RSS"),
    "dispatcher": _bench(70, "MiB RSS"),
    "tracker": _bench(157, "MiB RSS"),
    "notifier": Constant(70, "MiB RSS", "as intake: an estimate", DAY),
    "gateway": _bench(112, "MiB RSS"),
}
CHILD_MIB: Final = _bench(190, "MiB at a time", ": a WebP of 12 MP, the worst of the usual ones")

LEAST_REPLICAS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("intake", "downloader", "processor", "tracker", "notifier"), 2),
    **dict.fromkeys(("batcher", "dispatcher", "gateway"), 3),
}
"""So that one may go: the production overlay's."""
PRODUCTION_PROCESSORS: Final = 24


def _disk(value: float) -> Constant:
    return Constant(value, "bytes per image, compressed, one copy", RUN, DAY)


TOPIC_BYTES: Final[Mapping[str, Constant]] = {
    "requested": _disk(59),
    "downloaded": _disk(100),
    "processed": _disk(107),
    "imagelane-batcher-lanes-changelog": _disk(33),
    "calls": _disk(6.3),
    "batches": _disk(1.2),
    "completed": _disk(1.1),
    "callbacks": _disk(0.8),
    "jobs": _disk(0.2),
    "finished": _disk(0.1),
    "urls": _disk(0.1),
}
"""Of every topic of which the run left anything, headers and batches' heads with it."""
RECORD_BYTES: Final[Mapping[str, Constant]] = {
    topic: Constant(
        value, "bytes per record, value, key and headers, not compressed", "schemas/examples", DAY
    )
    for topic, value in {"requested": 500, "downloaded": 680, "processed": 690}.items()
}
"""What a test compares with the examples: a record that grows by a quarter has the run made anew."""
COMPACTED_DAYS: Final = 1.0
"""A compacted log keeps what its keys need; what a day brings stays about so long before it is cleaned."""
ORIGINAL_SECONDS: Final = Constant(
    120, "s", "between download and `processed` under load: an estimate", DAY
)
DATABASE_ROWS: Final = Constant(4.0, "rows per image", RUN, DAY)
DATABASE_BYTES: Final = Constant(
    582.0,
    "bytes per image in PostgreSQL",
    f"{RUN}, its rows in PostgreSQL 15 after a full vacuum",
    DAY,
)
SQLITE_BYTES: Final = Constant(251.0, "bytes per image in SQLite", f"{RUN}, vacuumed", DAY)
DATABASE_LIMIT_BYTES: Final = Constant(
    2e12, "bytes", "what one PostgreSQL is still vacuumed at: a judgement", DAY
)
BROKER_DISK_BYTES: Final = Constant(1e12, "bytes each", "k8s/components/strimzi: an example", DAY)
STORE_PUTS: Final = Constant(3_500, "writes a second", "AWS, S3 User Guide, per prefix", DAY)
NETWORK_BITS: Final = Constant(10e9, "bit/s", "a usual node", DAY)
