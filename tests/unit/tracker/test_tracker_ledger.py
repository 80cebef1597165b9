"""The database itself: transactions, positions, migrations, rebuilds."""

from __future__ import annotations

import random

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from tests.unit.tracker.conftest import Write, rows_in
from tests.unit.tracker.life import Broker, accept, interleaved, live, process, some_job

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.tracker.core.changes import Changes
from imagelane.tracker.ledger import Ledger, Position, RebuildOrderedError
from imagelane.tracker.migrating import MIGRATIONS, migrate
from imagelane.tracker.rebuilding import memory_ms, rebuild
from imagelane.tracking import tables
from imagelane.tracking.database import DatabaseError, DatabaseSettings
from imagelane.tracking.queries import Queries

DAY_MS = 86_400_000


def a_life(seed: int = 1, jobs: int = 2) -> Broker:
    broker = Broker(random.Random(seed))
    seq = 1
    for _ in range(jobs):
        seq = live(broker, some_job(broker.rng, "acme", 9), seq)
    return broker


def test_the_migrations_make_the_tables_that_the_code_knows(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_the_last_migration_is_the_one_that_readers_ask_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [tables.SCHEMA_REVISION]


def test_migrating_a_current_database_changes_nothing(engine: Engine, write: Write) -> None:
    write(record for records in a_life().log.values() for record in records)
    before = rows_in(engine, without=())
    assert migrate(engine) == (tables.SCHEMA_REVISION, tables.SCHEMA_REVISION)
    assert rows_in(engine, without=()) == before


async def test_a_reader_refuses_tables_of_another_version(
    engine: Engine, database: DatabaseSettings
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(
        DatabaseError, match="0000, this version needs 0003: run `imagelane tracker"
    ):
        await Queries.open(database)


async def test_a_reader_makes_no_file_where_there_is_none(database: DatabaseSettings) -> None:
    with pytest.raises(DatabaseError, match=r"the tracker makes it|tracker migrate"):
        await Queries.open(database)


@pytest.mark.parametrize("seed", range(3))
def test_batches_leave_the_same_rows_as_one_transaction(
    engine: Engine, ledger: Ledger, write: Write, seed: int
) -> None:
    broker = a_life(seed)
    order = interleaved(random.Random(seed), broker.log, again=0.2)
    for begin in range(0, len(order), 23):
        write(order[begin : begin + 23])
    in_batches = rows_in(engine)
    rebuild(engine, keep_before_ms=None)
    ledger.open()
    assert not any(rows_in(engine).values())
    write(record for records in broker.log.values() for record in records)
    assert rows_in(engine) == in_batches


def test_positions_are_written_with_the_rows_or_not_at_all(engine: Engine, ledger: Ledger) -> None:
    ledger.write(Changes(), {("jobs", 0): Position(5, 9)}, now_ms=1)
    bad = Changes(
        images={(1, 1): dict.fromkeys(("number", "idx", "url", "group_name", "position"))}
    )
    bad.images[1, 1].update(number=1, idx=1)
    with pytest.raises(IntegrityError):
        ledger.write(bad, {("jobs", 0): Position(7, 9)}, now_ms=2)
    another = Ledger(engine)
    another.open()
    assert another.positions() == {("jobs", 0): Position(5, 9)}


def test_a_tracker_notices_that_somebody_has_ordered_a_rebuild(
    engine: Engine, ledger: Ledger, write: Write
) -> None:
    records = [record for part in a_life().log.values() for record in part]
    write(records)
    before = rows_in(engine)
    ledger.look()
    rebuild(engine, keep_before_ms=None)
    with pytest.raises(RebuildOrderedError):
        write(records[:1])
    with pytest.raises(RebuildOrderedError):
        ledger.look()
    with pytest.raises(RebuildOrderedError):
        ledger.positions()
    ledger.open()
    assert ledger.positions() == {}
    write(records)
    assert rows_in(engine) == before


def test_a_rebuild_keeps_jobs_that_the_topics_have_forgotten(
    engine: Engine, ledger: Ledger, write: Write
) -> None:
    broker = Broker(random.Random(3))
    old = some_job(broker.rng, "acme", 5)
    seq = live(broker, old, 1)
    begun = int(broker.now.timestamp() * 1_000) + 1
    broker.tick()
    live(broker, some_job(broker.rng, "acme", 5), seq)
    records = [record for part in broker.log.values() for record in part]
    write(records)
    before = rows_in(engine)
    assert rebuild(engine, keep_before_ms=begun) == 1
    ledger.open()
    kept = rows_in(engine)
    assert len(kept["jobs"]) == 1
    assert len(kept["images"]) == 5
    assert {row[1] for row in kept["calls"]} == set(range(1, seq))
    write(record for record in records if record.timestamp_ms >= begun)
    assert rows_in(engine) == before


def test_topics_keep_the_events_of_images_for_almost_three_days() -> None:
    files = read_topic_files(schemas_folder()).values()
    assert 2.9 * DAY_MS < memory_ms(files) < 3 * DAY_MS


def test_every_change_of_a_job_has_a_higher_number_also_after_a_rebuild(
    engine: Engine, ledger: Ledger, write: Write
) -> None:
    broker = Broker(random.Random(5))
    jobs = [some_job(broker.rng, "acme", 3) for _ in range(4)]
    for job in jobs:
        accept(broker, job)
    write(record for part in broker.log.values() for record in part)
    first = changes(engine)
    assert len(set(first.values())) == 4
    process(broker, jobs[0])
    write(record for at, part in broker.log.items() if at[0] == "processed" for record in part)
    second = changes(engine)
    changed = {job_id for job_id, number in second.items() if number != first[job_id]}
    assert changed == {jobs[0].job_id}
    rebuild(engine, keep_before_ms=None)
    ledger.open()
    write(record for part in broker.log.values() for record in part)
    assert min(changes(engine).values()) > max(second.values())


def changes(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.execute(select(tables.jobs.c.job_id, tables.jobs.c.change)).all()
        return {row.job_id: row.change for row in rows}
