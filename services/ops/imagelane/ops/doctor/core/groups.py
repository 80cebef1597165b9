"""What is made of the consumer groups: who is there, and what waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from imagelane.ops.doctor.core.findings import Finding, Report, unseen_facts

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "intake": ("urls",),
    "intake-orders": ("missing", "commands", "finished"),
    "downloader": ("requested",),
    "processor": ("downloaded",),
    "batcher": ("processed", "jobs", "completed", "commands", "ticks"),
    "dispatcher": ("batches", "commands", "callbacks"),
    "notifier": ("notices",),
}
"""Every group, and what it reads: it and no member of it means that nobody does that work."""


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """A group by its name on the broker. `unread` is None where the broker did not say."""

    group: str
    members: int
    unread: int | None


def judge_groups(seen: Sequence[GroupSeen], *, unseen: int = 0) -> Report:
    """A group without members is a finding; what waits for one that has them is a fact.

    `unseen`: how many groups the login may not ask for.
    """
    facts = [f"{one.group}: {one.members} members, {_waiting(one)}" for one in seen if one.members]
    facts.extend(unseen_facts(unseen))
    return Report(tuple(facts), tuple(_deserted(seen)))


def _deserted(seen: Sequence[GroupSeen]) -> Iterator[Finding]:
    for one in seen:
        if one.members == 0:
            service = one.group.rsplit("imagelane-", 1)[-1].split("-")[0]
            yield Finding(
                one.group,
                f"has no members, and {_waiting(one)}",
                f"start the service {service}; if it runs, its log says what it waits for",
            )


def _waiting(group: GroupSeen) -> str:
    if group.unread is None:
        return "what waits for it is not known"
    return f"{group.unread:,} records wait"
