"""What is made of the object store: what could be done with it, and what strangers could."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from imagelane.ops.doctor.core.findings import Finding, Report

POLICY: Final = (
    "close it: the bucket's policy may allow strangers nothing but to get single results"
)


@dataclass(frozen=True, slots=True)
class PlaceSeen:
    """One bucket or folder. `name` for people, `variable` of the setting that says where it is.

    `error` is what the first failed step said, and `step` which it was: `open`, `write`, `read`.
    """

    name: str
    variable: str
    step: str = ""
    error: str = ""
    keeps_first: bool = True
    """Whether a conditional write left the object alone that was there."""
    left_behind: str = ""
    """Why the probe could not be removed."""
    listed_at: str = ""
    """Where anybody can list what is there; empty if nowhere that was tried."""
    written_at: str = ""
    """Where anybody can write; empty if nowhere that was tried."""
    public_url: str = ""
    public_trouble: str = ""
    """Why the public URL does not serve the probe; empty if it does, or there is none."""
    published_at: str = ""
    """Where anybody can read the probe though the place is not public; empty if nowhere that was tried."""


def judge_place(seen: PlaceSeen) -> Report:
    """What is wrong with one place; the first failed step hides the later ones, which were not tried."""
    if seen.error:
        return Report((), (Finding(seen.variable, _failed(seen), _step(seen.step)),))
    facts = [f"{seen.name}: written, read back"]
    if seen.public_url and not seen.public_trouble:
        facts.append(f"{seen.name}: served at {seen.public_url}")
    if seen.left_behind:
        facts.append(
            f"{seen.name}: the probe object stays, this login may not delete ({seen.left_behind})"
        )
    return Report(tuple(facts), (*_ours(seen), *_strangers(seen)))


def _failed(seen: PlaceSeen) -> str:
    words = {"open": "cannot be opened", "write": "cannot be written", "read": "cannot be read"}
    return f"{seen.name} {words[seen.step]}: {seen.error}"


def _step(step: str) -> str:
    if step == "open":
        return "make the bucket or folder, or correct the variable, the endpoint or the credentials"
    return "allow this login to put, get and list there (docs/running.md)"


def _ours(seen: PlaceSeen) -> Iterator[Finding]:
    if not seen.keeps_first:
        yield Finding(
            seen.variable,
            f"{seen.name} lets a conditional write (If-None-Match: *) replace an object",
            "use a store that honours it: accepted lists are frozen by it",
        )
    if seen.public_trouble:
        yield Finding(
            seen.variable.rsplit("__", 1)[0] + "__PUBLIC_BASE_URL",
            f"what is stored in {seen.name} cannot be read at {seen.public_url}: {seen.public_trouble}",
            "start what serves it, open the bucket's policy for getting, or correct the variable",
        )


def _strangers(seen: PlaceSeen) -> Iterator[Finding]:
    if seen.listed_at:
        yield Finding(seen.variable, f"anybody can list {seen.name} at {seen.listed_at}", POLICY)
    if seen.written_at:
        yield Finding(
            seen.variable, f"anybody can write to {seen.name} at {seen.written_at}", POLICY
        )
    if seen.published_at:
        what = f"anybody can read {seen.name}, which is not public, at {seen.published_at}"
        yield Finding(seen.variable, what, POLICY)
