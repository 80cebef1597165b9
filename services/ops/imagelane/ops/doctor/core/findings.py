"""What a check of the doctor ends with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Result = Literal["good", "finding", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `where` is a variable, a topic, a bucket or an address."""

    where: str
    what: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one check saw. `facts` are worth knowing and no reason to act; `skipped` says why it saw nothing."""

    facts: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    skipped: str = ""

    @property
    def result(self) -> Result:
        """In one word."""
        if self.findings:
            return "finding"
        return "skipped" if self.skipped else "good"


def together(reports: Iterable[Report]) -> Report:
    """Several looks as one report."""
    seen = list(reports)
    return Report(
        facts=tuple(fact for one in seen for fact in one.facts),
        findings=tuple(finding for one in seen for finding in one.findings),
    )


def unseen_facts(count: int) -> tuple[str, ...]:
    """What is said of so many things that the login may not look at; nothing where there are none."""
    return (
        (f"{count} more are not this login's to see: `ops` looks at all of them",) if count else ()
    )
