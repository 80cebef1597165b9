"""A plugin for the runs in copies: what passed and what failed, and whose code it was."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from tests.mutants.copies import REPORT, Outcome

OUTCOME = Outcome()


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        OUTCOME.errors.append(report.nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        (OUTCOME.failed if report.failed else OUTCOME.passed).append(report.nodeid)
    elif report.failed:
        OUTCOME.errors.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    here = Path.cwd()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        ours = name.startswith(("imagelane.", "tests."))
        if ours and file and not Path(file).is_relative_to(here):
            OUTCOME.strangers.append(f"{name} of {file}")
    if not session.items and not OUTCOME.errors:
        OUTCOME.errors.append("no test was found")
    (here / REPORT).write_bytes(msgspec.json.encode(OUTCOME))
