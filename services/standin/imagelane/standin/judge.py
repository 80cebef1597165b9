"""The judge: proves the promises from the external API's own journal, and from nothing of ours.

    python -m imagelane.standin.judge JOURNAL [--expected FILE] [--json]

Exit code 0: every promise that could be checked was kept. 1: one was broken. 2: nothing to judge.

| promise | broken by |
|---|---|
| I1 | `overlap`: a call was accepted while another of the customer was active |
| I2 | `lost`, `unexpected`, `unfinished`, `delivered_and_failed` (needs `--expected`) |
| I3 | `doubled`: a URL that two calls took, or one twice; `key_reused`: one key, several bodies |
| I5 | `unreadable`: the API could not read an image that it was given |
| journal | entries that contradict each other: then it proves nothing |

A URL that failed in a call was not taken by it, and may be in a later one.
The expected file is `{"expected": {customer: [url]}, "failed": {customer: [url]}}`: the public URLs
of all images handed in, and of those that ended as a recorded failure.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from imagelane.standin import journal
from imagelane.standin.history import Call, History, history_of
from imagelane.standin.journal import BrokenJournalError, Entry

EXAMPLES: Final = 10


class Expected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Public URLs by customer: of all images handed in, and of the recorded failures among them."""

    expected: dict[str, list[str]]
    failed: dict[str, list[str]] = {}


class Violation(Struct, frozen=True):
    """One broken promise, with the place where it shows."""

    name: str
    customer: str
    detail: str


class Promise(Struct, kw_only=True):
    """A promise, how it was looked at, and what broke it: counts by name, and some examples."""

    name: str
    checked: str
    broken: dict[str, int] = {}
    examples: list[Violation] = []

    @property
    def word(self) -> str:
        """The verdict in a word."""
        if self.broken:
            return "BROKEN"
        return "kept" if self.checked else "not checked"


class Verdict(Struct, kw_only=True):
    """All promises, and the figures of the journal."""

    kept: bool
    customers: int
    calls: int
    unfinished: int
    attempts: int
    conflicts: int
    delivered: int
    failed_items: int
    promises: list[Promise]

    def broken(self) -> set[str]:
        """The names of everything that broke a promise, such as `overlap`."""
        return {name for promise in self.promises for name in promise.broken}


def judge(entries: list[Entry], expected: Expected | None = None) -> Verdict:
    """The verdict over a journal's entries."""
    history = history_of(entries)
    calls = history.calls
    attempts = f"{len(calls)} calls, {history.conflicts} answers of 409"
    handed_in = "" if expected is None else f"{len(_pairs(expected.expected))} URLs handed in"
    read = "every URL was read while its call was active" if history.fetched else ""
    promises = [
        _promise("I1", attempts, _overlaps(calls)),
        _promise("I2", handed_in, _misplaced(calls, expected) if expected else iter(())),
        _promise("I3", f"{sum(len(call.urls) for call in calls)} URLs in calls", _repeats(history)),
        _promise("I5", read, _unreadable(calls)),
        _promise(
            "journal",
            f"{len(entries)} entries",
            (Violation(name, "", detail) for name, detail in history.oddities),
        ),
    ]
    return Verdict(
        kept=not any(promise.broken for promise in promises),
        customers=len({call.customer for call in calls}),
        calls=len(calls),
        unfinished=sum(call.ended is None for call in calls),
        attempts=history.attempts,
        conflicts=history.conflicts,
        delivered=sum(len(call.taken()) for call in calls if call.ended is not None),
        failed_items=sum(len(call.failed) for call in calls),
        promises=promises,
    )


def _promise(name: str, checked: str, violations: Iterator[Violation]) -> Promise:
    broken: Counter[str] = Counter()
    examples: list[Violation] = []
    for violation in violations:
        broken[violation.name] += 1
        if broken[violation.name] <= EXAMPLES:
            examples.append(violation)
    return Promise(name=name, checked=checked, broken=dict(broken), examples=examples)


def _overlaps(calls: list[Call]) -> Iterator[Violation]:
    open_calls: dict[str, list[Call]] = {}
    for call in calls:  # in the order in which they began
        before = open_calls.setdefault(call.customer, [])
        before[:] = [one for one in before if one.ended is None or one.ended > call.began]
        for other in before:
            yield Violation("overlap", call.customer, f"{call.batch} began during {other.batch}")
        before.append(call)


def _misplaced(calls: list[Call], expected: Expected) -> Iterator[Violation]:
    delivered: set[tuple[str, str]] = set()
    undecided: dict[tuple[str, str], str] = {}
    for call in calls:
        pairs = [(call.customer, url) for url in call.taken()]
        if call.ended is None:
            undecided.update(dict.fromkeys(pairs, call.batch))
        else:
            delivered.update(pairs)
    failed = _pairs(expected.failed)
    handed_in = _pairs(expected.expected) | failed
    for customer, url in sorted(handed_in - delivered - failed):
        if (customer, url) in undecided:
            batch = undecided[customer, url]
            yield Violation("unfinished", customer, f"{url} is in {batch}, which never ended")
        else:
            yield Violation("lost", customer, f"{url} is in no completed call and no failure")
    for customer, url in sorted(delivered & failed):
        yield Violation("delivered_and_failed", customer, url)
    for customer, url in sorted((delivered | undecided.keys()) - handed_in):
        yield Violation("unexpected", customer, f"{url} was not handed in by this customer")


def _repeats(history: History) -> Iterator[Violation]:
    first: dict[str, str] = {}
    for call in history.calls:
        for url in call.taken():
            if url in first:
                detail = f"{url} is in {first[url]} and in {call.batch}"
                yield Violation("doubled", call.customer, detail)
            first.setdefault(url, call.batch)
    for key, digests in history.digests_of_key.items():
        if len(digests) > 1:
            yield Violation("key_reused", "", f"{key} came with {len(digests)} bodies")


def _unreadable(calls: list[Call]) -> Iterator[Violation]:
    for call in calls:
        for item in call.failed:
            if item["cause"] == "fetch":
                detail = f"{item['url']} in {call.batch}: {item['reason']}"
                yield Violation("unreadable", call.customer, detail)


def _pairs(by_customer: dict[str, list[str]]) -> set[tuple[str, str]]:
    return {(customer, url) for customer, urls in by_customer.items() for url in urls}


def table(verdict: Verdict) -> str:
    """The verdict for people."""
    summary = (
        f"{verdict.calls} calls of {verdict.customers} customers: "
        f"{verdict.delivered} images delivered, {verdict.failed_items} failed in a call, "
        f"{verdict.unfinished} calls unfinished; "
        f"{verdict.attempts} attempts, {verdict.conflicts} answers of 409"
    )
    lines = [summary, ""]
    for promise in verdict.promises:
        lines.append(f"{promise.name:<8}{promise.word:<13}{promise.checked}")
        lines += [f"{'':<8}{name}: {count}" for name, count in promise.broken.items()]
        lines += [
            f"{'':<10}{' '.join(filter(None, (one.name, one.customer)))}: {one.detail}"
            for one in promise.examples
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m imagelane.standin.judge",
        description="Proves the promises I1, I2, I3 and I5 from the stand-in's journal.",
    )
    parser.add_argument("journal", type=Path)
    parser.add_argument("--expected", type=Path, help="what was handed in, and what failed (JSON)")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")
    given = parser.parse_args(arguments)
    try:
        entries = journal.read(given.journal)
        expected = None if given.expected is None else _expected_in(given.expected)
    except (OSError, BrokenJournalError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"nothing to judge: {error}\n")
        return 2
    if not entries:
        sys.stderr.write(f"nothing to judge: {given.journal} has no entries\n")
        return 2
    verdict = judge(entries, expected)
    text = msgspec.json.encode(verdict).decode() if given.json else table(verdict)
    sys.stdout.write(text + "\n")
    return 0 if verdict.kept else 1


def _expected_in(path: Path) -> Expected:
    return msgspec.json.decode(path.read_bytes(), type=Expected)


if __name__ == "__main__":
    sys.exit(main())
