"""What came of all trials, fault by fault, as a table of Markdown that is readable as it is."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from tests.chaos.trial import Fault, Outcome


def table(faults: Iterable[Fault], outcomes: Iterable[Outcome]) -> str:
    """A row for each fault: runs, violations, and how long it took to recover (median, longest)."""
    of_fault: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        of_fault[outcome.name].append(outcome)
    rows = [("fault", "what", "runs", "violations", "recovered in"), ("---",) * 5]
    for fault in faults:
        tried = of_fault[fault.name]
        if fault.missing:
            rows.append((fault.name, f"{fault.says}: {fault.missing}", "–", "–", "–"))  # noqa: RUF001 - a dash
        elif tried:
            violations = sum(len(one.violations) for one in tried)
            rows.append(
                (fault.name, fault.says, str(len(tried)), str(violations), _recovery(tried))
            )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def _recovery(tried: list[Outcome]) -> str:
    seconds = [one.recovery_seconds for one in tried if one.recovery_seconds is not None]
    if not seconds:
        return "stays held" if not any(one.violations for one in tried) else "never"
    return f"{statistics.median(seconds):.0f} s, at most {max(seconds):.0f} s"
