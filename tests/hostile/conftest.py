"""Hostile input of every kind. `--rows` prints what became of each row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.hostile import table, tripwire
from tests.hostile.certificates import Authority

from imagelane.downloader.core import retries

ShowRow = Callable[[str, str, str, str], None]
"""Row, input, outcome, code: to be called at a test's end, when it has seen what it wanted to see."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", action="store_true", help="print the table of hostile rows")
    parser.addoption("--stalling-hosts", type=int, default=2_000, help="in test_stalls.py")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not config.getoption("rows"):
        return
    rows = [
        {**value, "outcome": value["outcome"] if kind == "passed" else "FAILED"}
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, [])
        for name, value in getattr(report, "user_properties", [])
        if name == table.KEY and getattr(report, "when", "call") == "call"
    ]
    terminalreporter.section("hostile rows")
    for line in table.lines(rows):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"{len(rows)} rows")


@pytest.fixture
def show_row(record_property: Callable[[str, object], None]) -> ShowRow:
    started_at = time.perf_counter()

    def show(row: str, given: str, outcome: str, code: str) -> None:
        milliseconds = (time.perf_counter() - started_at) * 1_000
        shown = table.Row(row, given, outcome, code, milliseconds)
        record_property(table.KEY, table.to_property(shown))

    return show


@pytest.fixture
def wire() -> Iterator[tripwire.Tripwire]:
    """Stretched during the test: a connection to anywhere but its own servers fails it."""
    with tripwire.armed() as stretched:
        yield stretched


@pytest.fixture(autouse=True)
def _retries_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "BASE_SECONDS", 0.02)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("authority"))
