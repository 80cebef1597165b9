"""Writes to the database. Each batch is one transaction, with the positions up to which it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Insert, Select, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from imagelane.tracker.core.changes import Changes, Row
from imagelane.tracker.core.jobs import Job
from imagelane.tracker.core.joining import Known, Rows, join
from imagelane.tracker.core.rows import call_of, job_of, lane_of
from imagelane.tracking import tables as t

ONCE: Final = ("images", "image_steps", "job_steps", "call_steps", "commands")
"""Rows of these are never changed: a row that is there already stays."""
REPLACED: Final = ("jobs", "job_sets", "failures", "lanes", "calls", "call_images")
"""Rows of these were joined with those in the database, and take their place."""


class RebuildOrderedError(Exception):
    """Somebody has emptied the database meanwhile: read it, and all topics, from the beginning."""


class Position(NamedTuple):
    """How far a partition was read, and where its end was seen."""

    next_offset: int
    end_offset: int


class RowOfTracker(NamedTuple):
    """The one row of `tracker`: which rebuild this is, and how many changes of jobs there were."""

    generation: int
    change: int


Positions = Mapping[tuple[str, int], Position]


class Ledger:
    """The one that writes what the topics say. Belongs to one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._generation = 0
        tables = t.metadata.tables
        self._statements: dict[str, Insert] = {
            **{name: _insert(engine, tables[name]).on_conflict_do_nothing() for name in ONCE},
            **{name: _upsert(engine, tables[name]) for name in (*REPLACED, "positions")},
            "dead_letters": _first_dead_letter(engine),
            "hosts": _latest_of_host(engine),
        }

    def open(self) -> None:
        """From now on it writes to the database as the last rebuild has left it."""
        with self._engine.begin() as connection:
            self._generation = connection.execute(select(t.tracker.c.generation)).scalar_one()

    def positions(self) -> dict[tuple[str, int], Position]:
        """Where reading goes on, for every partition that was read before. Raises `RebuildOrderedError`."""
        with self._engine.begin() as connection:
            self._require_generation(connection)
            rows = connection.execute(select(t.positions)).all()
        return {
            (row.topic, row.partition): Position(row.next_offset, row.end_offset) for row in rows
        }

    def write(self, changes: Changes, positions: Positions, now_ms: int) -> None:
        """Makes it all durable, or nothing. Raises `RebuildOrderedError` and SQLAlchemy's errors."""
        with self._engine.begin() as connection:
            state = take_turn(connection)
            if state.generation != self._generation:
                raise RebuildOrderedError
            rows = join(_known(connection, changes), changes, state.change)
            self._write_rows(connection, rows)
            self._execute(connection, "positions", [_of(at, one) for at, one in positions.items()])
            connection.execute(
                t.tracker.update(), {"change": state.change + len(rows.jobs), "written_at": now_ms}
            )

    def look(self) -> None:
        """For who has nothing to write. Raises `RebuildOrderedError`."""
        with self._engine.begin() as connection:
            self._require_generation(connection)

    def _require_generation(self, connection: Connection) -> None:
        if connection.execute(select(t.tracker.c.generation)).scalar_one() != self._generation:
            raise RebuildOrderedError

    def _write_rows(self, connection: Connection, rows: Rows) -> None:
        for name in (*ONCE, *REPLACED, "dead_letters", "hosts"):
            self._execute(connection, name, getattr(rows, name))

    def _execute(self, connection: Connection, table: str, rows: Sequence[Row]) -> None:
        if rows:
            connection.execute(self._statements[table], rows)


def take_turn(connection: Connection) -> RowOfTracker:
    """Waits until no other process writes, as long as the transaction lasts: rows are read, joined, replaced."""
    row = connection.execute(select(t.tracker).with_for_update()).one()
    return RowOfTracker(generation=row.generation, change=row.change)


def _of(at: tuple[str, int], position: Position) -> Row:
    return {"topic": at[0], "partition": at[1], **position._asdict()}


# What the database knows


def _known(connection: Connection, changes: Changes) -> Known:
    numbers = [job.number for job in changes.jobs.values()]
    forgotten = select(t.forgotten.c.number).where(t.forgotten.c.number.in_(numbers))
    lanes = select(t.lanes).where(t.lanes.c.customer_id.in_(list(changes.lanes)))
    known = Known(forgotten=set(connection.execute(forgotten).scalars()) if numbers else set())
    if numbers:
        known.jobs = _jobs(connection, numbers)
    if changes.lanes:
        found = _rows(connection, lanes)
        known.lanes = {row["customer_id"]: lane_of(row) for row in found}
    if changes.calls:
        keys = list(changes.calls)
        images = _grouped(connection, _calls_of(t.call_images, keys), "customer_id", "seq")
        for row in _rows(connection, _calls_of(t.calls, keys)):
            key = row["customer_id"], row["seq"]
            known.calls[key] = call_of(row, images.get(key, ()))
    return known


def _jobs(connection: Connection, numbers: list[int]) -> dict[int, Job]:
    sets = select(t.job_sets).where(t.job_sets.c.number.in_(numbers))
    by_number = {row["number"]: row for row in _rows(connection, sets)}
    failures = select(t.failures).where(t.failures.c.number.in_(numbers))
    met = _grouped(connection, failures.order_by(t.failures.c.number), "number")
    jobs = _rows(connection, select(t.jobs).where(t.jobs.c.number.in_(numbers)))
    return {
        row["number"]: job_of(row, by_number[row["number"]], met.get((row["number"],), ()))
        for row in jobs
    }


def _calls_of(table: Table, keys: list[tuple[str, int]]) -> Select[Any]:
    by = tuple_(table.c.customer_id, table.c.seq)
    return select(table).where(by.in_(keys)).order_by(table.c.customer_id, table.c.seq)


def _rows(connection: Connection, statement: Select[Any]) -> list[Row]:
    return [row._asdict() for row in connection.execute(statement)]


def _grouped(
    connection: Connection, statement: Select[Any], *names: str
) -> dict[tuple[Any, ...], list[Row]]:
    """The rows by these columns, by which the statement orders them."""

    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in names)

    found = groupby(_rows(connection, statement), key=key)
    return {one: list(rows) for one, rows in found}


# How rows are written


def _insert(engine: Engine, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


def _upsert(engine: Engine, table: Table, *, where: ColumnElement[bool] | None = None) -> Insert:
    statement = _insert(engine, table)
    key = [column.name for column in table.primary_key]
    changed = {one.name: statement.excluded[one.name] for one in table.c if one.name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed, where=where)


def _first_dead_letter(engine: Engine) -> Insert:
    """A record may be put aside more than once: the first time counts."""
    have = t.dead_letters.c.dead_letter_offset
    return _upsert(
        engine, t.dead_letters, where=_insert(engine, t.dead_letters).excluded[have.name] < have
    )


def _latest_of_host(engine: Engine) -> Insert:
    """After a rebuild, older words come again."""
    have = t.hosts.c.told_at
    return _upsert(engine, t.hosts, where=_insert(engine, t.hosts).excluded[have.name] >= have)
