"""A journal, read again as calls: what the judge and the timeline look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from imagelane.standin.journal import Entry

CONFLICT: Final = 409


@dataclass(slots=True)
class Call:
    """One accepted batch. Its place among the events is `began` and `ended`: numbers of entries."""

    batch: str
    customer: str
    key: str | None
    urls: list[str]
    began: int
    began_monotonic: float
    ended: int | None = None
    ended_monotonic: float | None = None
    status: str = "active"
    failed: list[dict[str, Any]] = field(default_factory=list)

    def taken(self) -> list[str]:
        """The URLs that the call delivered; while it is active, the ones that it may deliver."""
        if not self.failed:
            return self.urls
        places = {item["place"] for item in self.failed}
        return [url for place, url in enumerate(self.urls) if place not in places]


@dataclass(slots=True)
class History:
    """What a journal tells. `oddities`: entries that contradict each other, as name and detail."""

    calls: list[Call] = field(default_factory=list)
    digests_of_key: dict[str, list[str]] = field(default_factory=dict)
    attempts: int = 0
    conflicts: int = 0
    fetched: bool = True
    oddities: list[tuple[str, str]] = field(default_factory=list)


def history_of(entries: list[Entry]) -> History:
    """Reads the entries in their order."""
    history = History()
    calls: dict[str, Call] = {}
    for number, entry in enumerate(entries):
        match entry["kind"]:
            case "started":
                history.fetched = history.fetched and entry["fetch"] != "none"
            case "request":
                _note_attempt(history, entry)
            case "answer":
                history.conflicts += entry["status"] == CONFLICT
            case "accepted":
                _begin(history, calls, number, entry)
            case "finished":
                _end(history, calls, number, entry)
    return history


def _note_attempt(history: History, entry: Entry) -> None:
    if entry["method"] != "POST":
        return
    history.attempts += 1
    key, digest = entry.get("key"), entry.get("digest")
    if key is not None and digest is not None:
        digests = history.digests_of_key.setdefault(key, [])
        if digest not in digests:
            digests.append(digest)


def _begin(history: History, calls: dict[str, Call], number: int, entry: Entry) -> None:
    call = Call(
        batch=entry["batch"],
        customer=entry["customer"],
        key=entry["key"],
        urls=entry["urls"],
        began=number,
        began_monotonic=entry["monotonic"],
    )
    if call.batch in calls:
        history.oddities.append(("accepted_twice", f"batch {call.batch}"))
        return
    calls[call.batch] = call
    history.calls.append(call)


def _end(history: History, calls: dict[str, Call], number: int, entry: Entry) -> None:
    call = calls.get(entry["batch"])
    if call is None:
        history.oddities.append(("finished_unknown", f"batch {entry['batch']}"))
        return
    if call.ended is not None:
        history.oddities.append(("finished_twice", f"batch {call.batch}"))
        return
    call.ended, call.ended_monotonic = number, entry["monotonic"]
    call.status, call.failed = entry["status"], entry["failed"]
    if call.status != _status_of(call):
        detail = f"batch {call.batch}: {call.status}, {len(call.failed)} of {len(call.urls)} failed"
        history.oddities.append(("status_contradicts", detail))


def _status_of(call: Call) -> str:
    if not call.failed:
        return "completed"
    return "failed" if len(call.failed) == len(call.urls) else "partial"
