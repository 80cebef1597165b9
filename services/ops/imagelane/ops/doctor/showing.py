"""The doctor's words: a table and its findings for people, a line of JSON per check for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

from imagelane.ops.doctor.examination import Examined

STYLES: Final = {"good": "green", "finding": "bold red", "skipped": "dim"}
SHOWN_FACTS: Final = 3


def table(checks: Sequence[Examined]) -> Table:
    """One line a check."""
    shown = Table(box=None, pad_edge=False)
    for name in ("check", "result", "seconds", ""):
        shown.add_column(name, justify="right" if name == "seconds" else "left", no_wrap=name != "")
    for one in checks:
        result = one.report.result
        shown.add_row(
            Text(one.check),
            Text(result, style=STYLES[result]),
            Text(f"{one.seconds:.1f}"),
            Text(_summary(one)),
        )
    return shown


def findings(checks: Sequence[Examined]) -> Iterator[Text]:
    """What is to be done, numbered."""
    found = [(one.check, finding) for one in checks for finding in one.report.findings]
    for number, (check, finding) in enumerate(found, 1):
        where = "" if finding.where == check else f"{finding.where}: "
        yield Text(f"{number}. {check}: {where}{finding.what}")
        yield Text(f"   → {finding.next_step}")


def line(one: Examined) -> str:
    """A check as JSON on one line."""
    value = {
        "check": one.check,
        "result": one.report.result,
        "seconds": round(one.seconds, 3),
        "facts": one.report.facts,
        "findings": [asdict(finding) for finding in one.report.findings],
        "skipped": one.report.skipped,
    }
    return msgspec.json.encode(value).decode()


def _summary(one: Examined) -> str:
    report = one.report
    if report.findings:
        count = len(report.findings)
        return f"{count} finding{'s' * (count > 1)}, below"
    if report.skipped:
        return report.skipped
    more = len(report.facts) - SHOWN_FACTS
    return "; ".join(report.facts[:SHOWN_FACTS]) + (f"; {more} more" if more > 0 else "")
