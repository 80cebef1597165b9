"""What is made of the services' own probes, of the callback's address, and of the tracker's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from imagelane.ops.doctor.core.findings import Finding, Report

OK: Final = 200
ONLY_POST: Final = 405
CALLBACK_URL: Final = "IMAGELANE_DISPATCHER__CALLBACK_URL"
DATABASE_URL: Final = "IMAGELANE_DATABASE__URL"
FAR_BEHIND: Final = 100_000


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """`status` 0: no answer came. `reasons` by part, as `/readyz` tells them."""

    name: str
    address: str
    status: int
    error: str = ""
    reasons: Mapping[str, str] | None = None


def judge_services(seen: Sequence[ServiceSeen]) -> Report:
    """A finding for each that is not ready."""
    facts = tuple(f"{one.name} is ready" for one in seen if one.status == OK)
    skipped = (
        "" if seen else "no service's health address is given: --service NAME=http://host:port"
    )
    return Report(facts, tuple(_unready(seen)), skipped)


def _unready(seen: Sequence[ServiceSeen]) -> Iterator[Finding]:
    for one in seen:
        if one.status == OK:
            continue
        where = f"{one.name} at {one.address}"
        if not one.status:
            yield Finding(
                where,
                f"does not answer: {one.error}",
                "is it started, and IMAGELANE_HEALTH__PORT set? Its log says why it left",
            )
            continue
        reasons = "; ".join(f"{part}: {why}" for part, why in (one.reasons or {}).items())
        yield Finding(
            where,
            f"is not ready ({one.status}): {reasons or 'it does not say why'}",
            "mend what it names; its log tells more",
        )


def judge_callback(url: str, status: int, error: str) -> Report:
    """`status` of a GET, which our receiver answers 405: it takes posts only."""
    if not status:
        what, step = (
            f"{url} cannot be reached from here: {error}",
            ("start the gateway, or correct the variable; until then calls are polled"),
        )
        return Report((), (Finding(CALLBACK_URL, what, step),))
    if status != ONLY_POST:
        what = (
            f"{url} answers {status} to a GET, not 405: what is there is not our webhook receiver"
        )
        step = "it is the gateway's public address plus `/v1/callbacks/batch`"
        return Report((), (Finding(CALLBACK_URL, what, step),))
    return Report((f"{url} is the webhook receiver",))


@dataclass(frozen=True, slots=True)
class DatabaseSeen:
    """`error` is empty if it answered and has the tables of this version."""

    revision: str
    error: str = ""
    behind: int = 0


def judge_database(seen: DatabaseSeen) -> Report:
    """Whether the tracker's database can be asked, and how old its answers are."""
    if seen.error:
        step = (
            "`imagelane tracker migrate`"
            if "migrat" in seen.error
            else "start the database or the tracker, or correct the variable and its password file"
        )
        return Report((), (Finding(DATABASE_URL, seen.error, step),))
    facts = (f"its tables are at {seen.revision}", f"{seen.behind:,} records are not in it yet")
    if seen.behind <= FAR_BEHIND:
        return Report(facts)
    late = Finding(
        DATABASE_URL,
        f"it is {seen.behind:,} records behind the topics",
        "does the tracker run? docs/runbooks.md, ImagelaneTrackerBehind",
    )
    return Report(facts, (late,))
