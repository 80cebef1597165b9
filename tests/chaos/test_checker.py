"""The checker finds each kind of broken promise in a history made by hand, and nothing in a good one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from tests.chaos import checker

Entry = dict[str, Any]
FIRST, SECOND = "a" * 32, "b" * 32


class Told:
    """The three files of a run, as lists that a test may spoil."""

    def __init__(self) -> None:
        self.history: list[Entry] = [
            {"kind": "submit", "customer": "acme", "job": FIRST, "images": 5, "bad": [4]},
            {"kind": "submit", "customer": "acme", "job": SECOND, "images": 2, "bad": []},
            {"kind": "poison", "topic": "processed", "raw": "e30="},
            {"kind": "quiet", "from": 100.0, "to": 120.0},
        ]
        self.journal: list[Entry] = [
            *call(1, "key-1", [(FIRST, 0), (FIRST, 1), (FIRST, 2)], at=10.0),
            *call(2, "key-2", [(FIRST, 3), (SECOND, 0), (SECOND, 1)], at=20.0),
        ]
        self.records: list[Entry] = [
            completed(1, "b-1"),
            completed(2, "b-2"),
            completed(2, "b-2"),  # told again: no harm
            finished(FIRST, 5, delivered=4, failed=1),
            finished(FIRST, 5, delivered=4, failed=1),
            finished(SECOND, 2, delivered=2),
            {"topic": "dlq.processed", "raw": "e30="},
        ]

    def entry(self, kind: str, number: int) -> Entry:
        """The n-th entry of its kind in the journal, from 0."""
        return [one for one in self.journal if one["kind"] == kind][number]

    def told(self, topic: str) -> list[Entry]:
        """The topic's records."""
        return [one for one in self.records if one["topic"] == topic]

    def found(self) -> set[str]:
        """The names of what the checker finds."""
        return {one.name for one in checker.check(self.history, self.journal, self.records)}


def call(number: int, key: str, images: list[tuple[str, int]], *, at: float) -> list[Entry]:
    request = {"kind": "request", "request": number, "method": "POST", "customer": "acme"}
    urls = [f"http://x/public/{job}/{index}/image.jpg" for job, index in images]
    batch = f"b-{number}"
    return [
        {**request, "key": key, "digest": f"digest of {urls}", "monotonic": at},
        {"kind": "accepted", "batch": batch, "customer": "acme", "key": key, "urls": urls},
        {"kind": "answer", "request": number, "status": 202},
        {"kind": "finished", "batch": batch, "customer": "acme", "failed": []},
    ]


def completed(seq: int, call_id: str) -> Entry:
    value = {"type": "call.completed.v1", "customer_id": "acme", "seq": seq, "call_id": call_id}
    return {"topic": "completed", "value": {**value, "images": 3, "status": "completed"}}


def finished(job: str, images: int, *, delivered: int, failed: int = 0) -> Entry:
    counts = {"images": images, "delivered": delivered, "failed": failed, "cancelled": 0}
    return {"topic": "finished", "id": f"end of {job}", "value": {"job_id": job, **counts}}


def overlap(run: Told) -> None:
    run.journal.insert(2, run.journal.pop(5))  # the second call is accepted during the first


def attempted(run: Told) -> None:
    late = {**run.entry("request", 1), "request": 7}
    run.journal[2:2] = [late, {"kind": "answer", "request": 7, "status": 409}]


def lost(run: Told) -> None:
    run.entry("accepted", 0)["urls"].pop()
    run.told("finished")[0]["value"]["delivered"] -= 1


def unexpected(run: Told) -> None:
    run.entry("accepted", 0)["urls"].append(f"http://x/public/{'c' * 32}/0/image.jpg")


def beyond_the_list(run: Told) -> None:
    run.entry("accepted", 0)["urls"].append(f"http://x/public/{SECOND}/2/image.jpg")


def of_another_customer(run: Told) -> None:
    run.history.append(
        {"kind": "submit", "customer": "globex", "job": "d" * 32, "images": 1, "bad": []}
    )
    run.entry("accepted", 1)["urls"].append(f"http://x/public/{'d' * 32}/0/image.jpg")
    run.records.append(finished("d" * 32, 1, delivered=1))


def delivered_though_bad(run: Told) -> None:
    run.entry("accepted", 0)["urls"].append(f"http://x/public/{FIRST}/4/image.jpg")


def failed_though_good(run: Told) -> None:
    run.entry("accepted", 0)["urls"].pop()
    for one in run.told("finished")[:2]:
        one["value"] |= {"delivered": 3, "failed": 2}


def doubled(run: Told) -> None:
    run.entry("accepted", 1)["urls"].append(run.entry("accepted", 0)["urls"][0])


def doubled_in_one_call(run: Told) -> None:
    run.entry("accepted", 1)["urls"].append(run.entry("accepted", 1)["urls"][0])


def key_reused(run: Told) -> None:
    run.journal.append({**run.entry("request", 0), "digest": "of other images"})


def told_differently(run: Told) -> None:
    run.told("finished")[0]["value"]["delivered"] = 3


def told_under_two_ids(run: Told) -> None:
    run.told("finished")[0]["id"] = "another"


def miscounted(run: Told) -> None:
    for one in run.told("finished")[:2]:
        one["value"]["failed"] = 0


def cancelled_by_nobody(run: Told) -> None:
    for one in run.told("finished")[:2]:
        one["value"] |= {"failed": 0, "cancelled": 1}


def unreadable(run: Told) -> None:
    run.entry("finished", 0)["failed"] = [{"place": 0, "cause": "fetch"}]


def gap(run: Told) -> None:
    for one in run.told("completed")[1:]:
        one["value"]["seq"] = 3


def number_reused(run: Told) -> None:
    run.told("completed")[2]["value"]["call_id"] = "b-7"


def put_aside(run: Told) -> None:
    run.records.append({"topic": "dlq.jobs", "raw": "Z29vZA=="})


def swallowed(run: Told) -> None:
    run.records.remove({"topic": "dlq.processed", "raw": "e30="})


def sent_in_doubt(run: Told) -> None:
    run.journal.append({**run.entry("request", 1), "monotonic": 110.0})


def unfinished_call(run: Told) -> None:
    run.journal.remove(run.entry("finished", 1))


def unfinished_job(run: Told) -> None:
    run.records.remove(run.told("finished")[2])


BAD: Final[dict[Callable[[Told], None], str]] = {
    overlap: "overlap",
    attempted: "attempted",
    lost: "lost",
    unexpected: "unexpected",
    beyond_the_list: "unexpected",
    of_another_customer: "unexpected",
    delivered_though_bad: "delivered_though_bad",
    failed_though_good: "failed_though_good",
    doubled: "doubled",
    doubled_in_one_call: "doubled",
    key_reused: "key_reused",
    told_differently: "told_differently",
    told_under_two_ids: "told_differently",
    miscounted: "miscounted",
    cancelled_by_nobody: "miscounted",
    unreadable: "unreadable",
    gap: "gap",
    number_reused: "number_reused",
    put_aside: "put_aside",
    swallowed: "swallowed",
    sent_in_doubt: "sent_in_doubt",
    unfinished_call: "unfinished",
    unfinished_job: "unfinished",
}


def test_a_good_history_breaks_nothing() -> None:
    assert Told().found() == set()


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_history_is_found(spoil: Callable[[Told], None]) -> None:
    run = Told()
    spoil(run)
    assert BAD[spoil] in run.found()


def test_a_failed_image_may_be_in_a_later_call() -> None:
    run = Told()
    run.entry("finished", 0)["failed"] = [{"place": 0, "cause": "injected"}]
    assert "lost" in run.found()
    run.entry("accepted", 1)["urls"].append(run.entry("accepted", 0)["urls"][0])
    assert run.found() == set()


def test_what_may_fail_may_fail_as_long_as_it_is_recorded() -> None:
    run = Told()
    failed_though_good(run)
    run.history[0]["may_fail"] = True
    assert run.found() == set()
    lost(run)
    assert "lost" in run.found()


def test_what_was_cancelled_on_order_is_in_no_call_and_is_counted() -> None:
    run = Told()
    run.entry("accepted", 0)["urls"].pop()
    for one in run.told("finished")[:2]:
        one["value"] |= {"delivered": 3, "cancelled": 1}
    assert run.found() == {"failed_though_good", "miscounted"}
    run.history[0]["may_cancel"] = True
    assert run.found() == set()
    lost(run)
    assert "lost" in run.found()


def test_a_repeated_request_is_no_second_call_and_a_foreign_call_is_not_ours() -> None:
    run = Told()
    again = {**run.entry("request", 0), "request": 7}
    run.journal[2:2] = [again, {"kind": "answer", "request": 7, "status": 409}]
    assert run.found() == set()
    run.history.append({"kind": "foreign", "key": "theirs"})
    foreign = call(8, "theirs", [], at=5.0)
    refused = {**run.entry("request", 1), "request": 9}
    run.journal[0:0] = [*foreign[:3], refused, {"kind": "answer", "request": 9, "status": 409}]
    run.journal.insert(5, foreign[3])
    assert run.found() == set()


def test_a_request_before_or_after_a_quiet_span_is_none_in_it() -> None:
    run = Told()
    run.history[3] |= {"from": 11.0, "to": 19.0}
    assert run.found() == set()


def test_the_command_reads_the_three_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Told()
    monkeypatch.setattr("sys.argv", ["checker", str(tmp_path)])
    for expected in (0, 1):
        files = {"history.jsonl": run.history, "records.jsonl": run.records}
        for name, entries in (files | {"journal.ndjson": run.journal}).items():
            lines = "".join(json.dumps(entry) + "\n" for entry in copy.copy(entries))
            (tmp_path / name).write_text(lines + '{"kind": "cut off by a ki')
        assert checker.main() == expected
        doubled(run)
    assert "I3 doubled" in capsys.readouterr().out
