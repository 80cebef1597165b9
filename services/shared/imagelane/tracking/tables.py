"""The tracker's tables. Only the tracker writes them; a change here is a new migration there.

What is known of the images of a job as a set stands in `job_sets`, as Roaring bitmaps: so an outcome
that is recorded for 10,000 images is one row written, and a status has no column to go stale. An image
has one row with what its list says (`images`) and one for each of its events (`image_steps`), which
are only ever added. Everything else is small: a row per job, call, lane.

Times are milliseconds since 1970, in UTC. A job's `number` is made from its id.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

SCHEMA_REVISION: Final = "0003"
"""The migration that makes these tables. Who reads another one's would read nonsense."""

metadata: Final = MetaData()


def _key(name: str, kind: type[BigInteger | Integer | SmallInteger | Text]) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _table(name: str, *parts: Column[Any] | Index) -> Table:
    """Clustered by its key in SQLite, which halves the space of narrow rows."""
    return Table(name, metadata, *parts, sqlite_with_rowid=False)


jobs: Final = _table(
    "jobs",
    _key("number", BigInteger),
    Column("job_id", Text, nullable=False, unique=True),
    Column("customer_id", Text, nullable=False),
    Column("recipe", Text),
    Column("destination", Text),
    Column("base_url", Text),  # of the results, as it was told to the batch API
    Column("images", Integer),
    Column("idempotency_key", Text),
    Column("notify_url", Text),
    Column("deadline", BigInteger),
    Column("handed_in_at", BigInteger),
    Column("accepted_at", BigInteger),
    Column("sealed_at", BigInteger),
    Column("refused_at", BigInteger),
    Column("refused_code", Text),
    Column("refused_reason", Text),
    Column("finished_at", BigInteger),
    Column("over_at", BigInteger),  # finished or refused
    Column("cut_short_by", Text),
    Column("told_delivered", Integer),
    Column("told_failed", Integer),
    Column("told_cancelled", Integer),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("requested", Integer, nullable=False),
    Column("downloaded", Integer, nullable=False),
    Column("processed", Integer, nullable=False),
    Column("ready", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("notice_about", Text),
    Column("notice_state", Text),
    Column("notice_attempts", Integer),
    Column("notice_result", Text),
    Column("notice_at", BigInteger),
    Column("notice_next_at", BigInteger),
)
Index("jobs_by_age", jobs.c.first_at, jobs.c.number)
Index("jobs_of_customer", jobs.c.customer_id, jobs.c.first_at, jobs.c.number)
Index("jobs_by_change", jobs.c.change)
Index("jobs_by_end", jobs.c.over_at)


def _some_jobs(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> None:
    """An index of few of the jobs, however many there are."""
    Index(name, *columns, sqlite_where=where, postgresql_where=where)


is_open: Final = jobs.c.over_at.is_(None)
was_refused: Final = jobs.c.refused_at.is_not(None)
never_accepted: Final = jobs.c.accepted_at.is_(None)
_some_jobs("jobs_open", jobs.c.customer_id, jobs.c.ready, where=is_open)
_some_jobs("jobs_open_by_age", jobs.c.first_at, jobs.c.number, where=is_open)
_some_jobs("jobs_refused", jobs.c.first_at, jobs.c.number, where=was_refused)
_some_jobs("jobs_never_accepted", jobs.c.last_at, where=never_accepted)

job_sets: Final = _table(
    "job_sets",
    _key("number", BigInteger),
    *(
        Column(name, LargeBinary, nullable=False)
        for name in (
            "requested",
            "downloaded",
            "processed",
            "made",  # processed, and with results
            "delivered",
            "failed",
            "cancelled",
        )
    ),
)

failures: Final = _table(
    "failures",
    _key("number", BigInteger),
    _key("code", Text),
    Column(
        "images", LargeBinary, nullable=False
    ),  # that met it; whether they failed is in job_sets
    Column("failed", Integer, nullable=False),
)

images: Final = _table(
    "images",
    _key("number", BigInteger),
    _key("idx", Integer),
    Column("url", Text, nullable=False),
    Column("group_name", Text),
    Column("position", Integer),
)

image_steps: Final = _table(
    "image_steps",
    _key("number", BigInteger),
    _key("idx", Integer),
    _key("kind", SmallInteger),
    _key("partition", Integer),
    _key("offset", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("took_ms", Integer),
    Column("size_bytes", BigInteger),
    Column("outputs", Text),
    Column("code", Text),
    Column("reason", Text),
    Column("round", Integer),
)

job_steps: Final = _table(
    "job_steps",
    _key("number", BigInteger),
    _key("kind", SmallInteger),
    _key("partition", Integer),
    _key("offset", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("images", LargeBinary),  # none: it is about the whole job
    Column("round", Integer),
    Column("code", Text),
    Column("reason", Text),
)

lanes: Final = _table(
    "lanes",
    _key("customer_id", Text),
    Column("log_offset", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("planned", Integer, nullable=False),
    Column("changed_at", BigInteger),
    Column("hold_reason", Text),
    Column("held_since", BigInteger),
    Column("usual_seconds", Float),
    Column("usual_images", Float),
    Column("overdue_since", BigInteger),
)

calls: Final = _table(
    "calls",
    _key("customer_id", Text),
    _key("seq", BigInteger),
    Column("requested_at", BigInteger),
    Column("log_offset", BigInteger, nullable=False),
    Column("state", Text),
    Column("reference", Text),
    Column("log_call_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("ambiguous", Boolean, nullable=False),
    Column("planned", Integer),
    Column("planned_at", BigInteger),
    Column("first_attempt_at", BigInteger),
    Column("active_since", BigInteger),
    Column("hold_reason", Text),
    Column("status", Text),
    Column("call_id", Text),
    Column("images", Integer),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("decision", Text),
    Column("decided_by", Text),
)

call_images: Final = _table(
    "call_images",
    _key("customer_id", Text),
    _key("seq", BigInteger),
    _key("number", BigInteger),
    *(
        Column(name, LargeBinary, nullable=False)
        for name in ("asked", "planned", "delivered", "failed", "returned")
    ),
)
Index("call_images_of_job", call_images.c.number)

call_steps: Final = _table(
    "call_steps",
    _key("customer_id", Text),
    _key("seq", BigInteger),
    _key("kind", SmallInteger),
    _key("partition", Integer),
    _key("offset", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text),
    Column("reason", Text),
    Column("decided_by", Text),
)

commands: Final = _table(
    "commands",
    _key("partition", Integer),
    _key("offset", BigInteger),
    Column("kind", SmallInteger, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("job_id", Text),
    Column("seq", BigInteger),
    Column("decision", Text),
    Column("decided_by", Text, nullable=False),
    Column("note", Text),
    Column("at", BigInteger, nullable=False),
)
Index("commands_of_customer", commands.c.customer_id, commands.c.job_id)

dead_letters: Final = _table(
    "dead_letters",
    _key("topic", Text),
    _key("partition", Integer),
    _key("offset", BigInteger),
    _key("service", Text),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("record_key", Text),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dead_letter_offset", BigInteger),
)
Index("dead_letters_by_age", dead_letters.c.at)

hosts: Final = _table(
    "hosts",
    _key("host", Text),
    _key("worker", Text),
    Column("state", Text, nullable=False),
    Column("images_at_a_time", Integer),
    Column("resumes_at", BigInteger),
    Column("trouble", Text),
    Column("requests_per_second", Float),
    Column("told_at", BigInteger, nullable=False),
    Column("holds_until", BigInteger, nullable=False),
)

forgotten: Final = _table(
    "forgotten",
    _key("number", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("cleared", Boolean, nullable=False),  # the rows of its images are gone too
)

positions: Final = _table(
    "positions",
    _key("topic", Text),
    _key("partition", Integer),
    Column("next_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),
)

tracker: Final = _table(
    "tracker",
    _key("id", SmallInteger),  # there is one row
    Column("generation", BigInteger, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("written_at", BigInteger, nullable=False),
)
