"""The model's answer as text: for the command, and for docs/capacity.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from imagelane.contracts.topic_files import TopicFile
from imagelane.ops.capacity import constants as c
from imagelane.ops.capacity.model import Capacity, Load, capacity
from imagelane.ops.schema_words import table

SIZES: Final = (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
PLANNED: Final = (1e5, 1e7, 1e9)


def size(number: float) -> str:
    """Bytes in words, by powers of ten."""
    name, unit = next(((name, unit) for name, unit in SIZES if number >= unit), ("B", 1.0))
    return f"{number / unit:,.1f} {name}"


def count(number: float) -> str:
    """With as many digits as anybody reads."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"  # noqa: PLR2004 - two digits, then all


ROWS: Final[tuple[tuple[str, Callable[[Capacity], str]], ...]] = (
    ("images a second, mean", lambda one: count(one.load.mean_per_second)),
    ("images a second, at the peak", lambda one: count(one.load.peak_per_second)),
    ("cores of all services", lambda one: count(one.cores)),
    *(
        (f"{service}: replicas", lambda one, name=service: _replicas(one, name))
        for service in c.MEMORY_MIB
    ),
    ("memory of all services", lambda one: size(_memory_bytes(one))),
    ("strict partitions", lambda one: str(one.strict_partitions)),
    ("spread partitions", lambda one: str(one.spread_partitions)),
    ("cores of the brokers", lambda one: count(one.broker_cores)),
    ("brokers' disks, all copies", lambda one: size(one.disk_bytes)),
    ("brokers: written a second", lambda one: size(one.broker_write_bytes_per_second)),
    ("brokers: read a second", lambda one: size(one.broker_read_bytes_per_second)),
    ("fetched from the world a second", lambda one: size(one.fetched_bytes_per_second)),
    ("store: requests a second", lambda one: count(one.store_requests_per_second)),
    ("store: in, and as much out, a second", lambda one: size(one.store_in_bytes_per_second)),
    ("store: results kept", lambda one: size(one.results_bytes)),
    ("store: originals under way", lambda one: size(one.originals_bytes)),
    ("tracker's database: rows", lambda one: count(one.database_rows)),
    ("tracker's database: size", lambda one: size(one.database_bytes)),
    ("lists a day", lambda one: count(one.load.images_per_day / one.load.images_per_list)),
    ("calls a day", lambda one: count(one.load.images_per_day / one.load.images_per_call)),
)
"""What is shown of a capacity, in this order."""


def broken(one: Capacity) -> Iterator[str]:
    """What breaks first at this load, and what then; nothing if nothing does."""
    for limit in one.broken:
        yield f"{limit.what}: ends at {count(limit.images_per_day)} images a day; then {limit.then}"


def as_json(one: Capacity) -> dict[str, Any]:
    """All of it, for programs."""
    known = {field.name: getattr(one, field.name) for field in fields(one)}
    plain = {name: value for name, value in known.items() if isinstance(value, (int, float))}
    parts = ("services", "topics", "limits")
    lists = {name: [asdict(part) for part in getattr(one, name)] for name in parts}
    return {
        "load": asdict(one.load),
        **plain,
        "disk_bytes": one.disk_bytes,
        "cores": one.cores,
        **lists,
        "broken": [limit.what for limit in one.broken],
    }


def page(files: Mapping[str, TopicFile]) -> str:
    """docs/capacity.md."""
    columns = [capacity(Load(images_per_day=wanted), files) for wanted in PLANNED]
    rows = [(name, *(words(one) for one in columns)) for name, words in ROWS]
    head = ("", *(f"{one.load.images_per_day:,.0f} images a day" for one in columns))
    sections = [_HEAD, table(head, rows), "\n## What breaks first\n"]
    for one in columns:
        lines = list(broken(one)) or [_room(one)]
        sections.append(f"**{one.load.images_per_day:,.0f} images a day**\n")
        sections += [f"{number}. {line}" for number, line in enumerate(lines, 1)]
        sections.append("")
    sections += [_FORMULA, _topic_table(files), _CONSTANTS, _constant_table()]
    return "\n".join(sections)


def _replicas(one: Capacity, service: str) -> str:
    need = next(need for need in one.services if need.service == service)
    cores = f", {count(need.cores)} cores in all" if need.cores >= 1 else ""
    return f"{need.replicas:,}{cores}"


def _memory_bytes(one: Capacity) -> float:
    return sum(need.replicas * need.memory_mib_each for need in one.services) * 1024**2


def _room(one: Capacity) -> str:
    first = one.limits[0]
    return f"Nothing. First would come, at {count(first.images_per_day)}: {first.what}."


def _topic_table(files: Mapping[str, TopicFile]) -> str:
    of_ten_million = capacity(Load(images_per_day=PLANNED[1]), files)
    rows = [
        (
            f"`{one.topic}`",
            count(one.bytes_per_image),
            count(one.retention_days),
            size(one.disk_bytes),
        )
        for one in of_ten_million.topics
    ]
    return table(
        ("topic", "bytes per image", "days kept", "at 10,000,000 a day, three copies"), rows
    )


def _constants() -> Iterator[tuple[str, c.Constant]]:
    for name, value in vars(c).items():
        if isinstance(value, c.Constant):
            yield name.lower().replace("_", " "), value
        elif isinstance(value, Mapping):
            for key, inner in value.items():
                if isinstance(inner, c.Constant):
                    yield f"{name.lower().replace('_', ' ')}: {key}", inner


def _constant_table() -> str:
    rows = [
        (name, f"{one.value:,.10g}", one.unit, one.source, one.date) for name, one in _constants()
    ]
    return table(("constant", "value", "unit", "from", "date"), rows)


_HEAD: Final = """\
# Capacity: what so many images a day need

Made by `python -m imagelane.ops.reference --write` from the model in `services/ops/imagelane/ops/capacity`; for
your own load:

    imagelane capacity --images-per-day 1e7 --megabytes-per-image 1.5 --json

A model, not a promise: its constants were measured on two cores (below), and whatever is not measured says so. The
defaults are images of 1.5 MB, results of 0.25 MB, lists and calls of 1,000 images, a busiest hour of twice the
mean, cores that are 60 % busy then, three copies in Kafka, results kept for 30 days and tracked jobs for 90. The
batch API is not in it: a customer's lane carries what that API takes in one call at a time, so divide a call's
images by its seconds plus 0.3.
"""
_FORMULA: Final = """\
## How it is computed

- images a second = images a day / 86,400; at the peak times the busiest hour's factor.
- cores of a service = CPU ms per image * images a second at the peak / 1,000 / how busy a core may be. The
  downloader's transfer and the processor's image work grow with the megabytes of an image. Replicas = cores,
  rounded up, one Python process each (the processor has a decode child per core, four by default), at least as many
  as the production overlay has. Several trackers need PostgreSQL.
- partitions = one and a half times the replicas that share them (spread: downloader, processor; strict: batcher,
  dispatcher), in steps of 12.
- brokers' disks = bytes per image * images a day * days kept * copies, over all topics. Written a second: the same
  bytes * images a second * copies; read: the same * consumers by the topic files, plus what followers copy.
- store: an original is put, read and deleted; each output is put, and read once by the batch API. Results kept =
  images a day * days * bytes.
- the database = images a day * days tracked * rows (one image, three steps) or bytes of PostgreSQL; SQLite takes less
  than half of them.
- what breaks first = the lowest of the limits with the settings and overlays as they are.
"""
_CONSTANTS: Final = """
## Constants

All of them lie in one file, `constants.py`. A test holds the record sizes against the examples of the schemas.
"""
