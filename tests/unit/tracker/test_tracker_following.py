"""The tracker's loop, where nothing is to be read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.waiting import wait_until

from imagelane.platform.records import Record
from imagelane.tracker.following import Following
from imagelane.tracker.ledger import Ledger, Position
from imagelane.tracker.rebuilding import rebuild
from imagelane.tracker.retention import Retention
from imagelane.tracking.database import DatabaseError, DatabaseSettings, FileWatch


@dataclass
class Silence:
    """Topics of which everything was read."""

    behind: int = 0
    reads: int = 0
    began_with: list[dict[tuple[str, int], Position]] = field(default_factory=list)
    closed: int = 0

    def start(self, ask: Callable[[], Mapping[tuple[str, int], Position]]) -> None:
        self.began_with.append(dict(ask()))

    def read(self) -> list[Record]:
        time.sleep(0.005)
        self.reads += 1
        return []

    def moved(self) -> dict[tuple[str, int], Position]:
        return {}

    def new_partitions(self) -> bool:
        return False

    def close(self) -> None:
        self.closed += 1


def test_a_tracker_that_has_nothing_to_read_begins_anew_when_a_rebuild_is_ordered(
    engine: Engine,
) -> None:
    silence = Silence()
    open_reader: Any = lambda: silence  # noqa: E731 - the smallest reader there is
    following = Following(open_reader, Ledger(engine), Retention(engine, days=90))
    assert following.is_ready() == "it is not reading yet"
    stop = threading.Event()
    thread = threading.Thread(target=following.run, args=[stop])
    thread.start()
    wait_until(lambda: silence.reads > 3)
    assert (len(silence.began_with), silence.closed) == (1, 0)
    rebuild(engine, keep_before_ms=None)
    wait_until(lambda: len(silence.began_with) == 2 and silence.reads > 6)
    assert (silence.began_with, silence.closed) == ([{}, {}], 1)
    assert (following.lives(), following.is_ready()) == ("", "")
    stop.set()
    thread.join(20)
    assert silence.closed == 2


@pytest.mark.parametrize("other", [False, True])
def test_a_tracker_whose_file_is_deleted_or_another_one_leaves(
    engine: Engine, database: DatabaseSettings, other: bool
) -> None:
    if not database.is_sqlite:
        pytest.skip("is about a file")
    silence = Silence()
    open_reader: Any = lambda: silence  # noqa: E731 - the smallest reader there is
    watch = FileWatch(database)
    following = Following(open_reader, Ledger(engine), Retention(engine, days=90), watch.check)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(following.run, threading.Event())
        wait_until(lambda: silence.reads > 3)
        if other:
            (Path(database.path).parent / "another").write_bytes(b"")
            (Path(database.path).parent / "another").replace(database.path)
        else:
            Path(database.path).unlink()
        with pytest.raises(DatabaseError, match="was deleted, or is another file now"):
            running.result(20)
    assert silence.closed == 1
