"""`imagelane tracker …`: what it says, and what it does to the database."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.tracker.conftest import Write, rows_in
from tests.unit.tracker.life import Broker, live, some_job
from typer.testing import CliRunner, Result

from imagelane.ops.cli import app
from imagelane.tracking.database import DatabaseSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, database: DatabaseSettings) -> None:
    monkeypatch.setenv("IMAGELANE_DATABASE__URL", database.url)
    if database.password_file is not None:
        monkeypatch.setenv("IMAGELANE_DATABASE__PASSWORD_FILE", str(database.password_file))


def tracker(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tracker", *arguments])


def test_migrating_says_from_where_to_where() -> None:
    assert tracker("migrate").stdout == "the database was at nothing and is at 0003\n"
    assert tracker("migrate").stdout == "the database is at 0003 already\n"
    assert tracker("status").stdout == "0 records are not read yet; last written never\n"


@pytest.mark.parametrize("command", ["status", "rebuild"])
def test_a_database_that_is_not_there_is_told_the_way_out(
    database: DatabaseSettings, command: str
) -> None:
    result = tracker(command)
    assert result.exit_code == 1
    assert ("the tracker makes it" if database.is_sqlite else "tracker migrate") in result.stderr


def test_a_folder_that_is_not_there_is_an_error_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGELANE_DATABASE__URL", f"sqlite:///{tmp_path}/none/tracker.db")
    monkeypatch.delenv("IMAGELANE_DATABASE__PASSWORD_FILE", raising=False)
    result = tracker("migrate")
    assert result.exit_code == 1
    assert "unable to open database file" in result.stderr


@pytest.mark.parametrize("url", ["mysql://a@b/c", "sqlite://", "postgresql://u:secret@h/d"])
def test_another_kind_of_database_or_a_password_in_the_url_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("IMAGELANE_DATABASE__URL", url)
    result = tracker("status")
    assert result.exit_code == 2
    assert "IMAGELANE_DATABASE__URL" in result.stderr
    assert "secret" not in result.stderr


def test_a_rebuild_keeps_what_is_older_than_the_topics_unless_everything_shall_go(
    engine: Engine, write: Write
) -> None:
    broker = Broker(random.Random(1))
    broker.now = broker.now.replace(year=2025)
    live(broker, some_job(broker.rng, "acme", 4))
    write(record for part in broker.log.values() for record in part)
    assert "kept 1 jobs" in tracker("rebuild").stdout
    assert len(rows_in(engine)["images"]) == 4
    assert "kept" not in tracker("rebuild", "--all").stdout
    assert not any(rows_in(engine).values())
