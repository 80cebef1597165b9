"""The checker: finds every broken promise of a run, and shares no code with what it judges.

    python -m tests.chaos.checker FOLDER

reads from the folder `journal.ndjson` (the external API's own), `history.jsonl` (what was handed in,
and which faults there were) and `records.jsonl` (the topics, as anybody may read them). Exit code 0:
every promise was kept; 1: one was broken.

| promise | broken by |
|---|---|
| I1 | `overlap`: a call began during another of the customer; `attempted`: it was tried, and answered 409 |
| I2 | `lost`: an image is in no completed call, and no failure is recorded; `unexpected`: nobody handed it in; \
`delivered_though_bad`, `failed_though_good` |
| I3 | `doubled`: an image that two calls took, or one twice; `key_reused`: one key came with several bodies |
| I4 | `told_differently`, `miscounted`: the end of a job is not one, or its counts are not the truth |
| I5 | `unreadable`: the API could not read an image; `gap`: a call number is missing; `number_reused` |
| I7 | `put_aside`: a good record is a dead letter; `swallowed`: a bad one is not |
| I8 | `sent_in_doubt`: a request for a new call in a span in which nothing may be sent |
| I9 | `unfinished`: a job or a call that never ended |
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

Entry = dict[str, Any]
Image = tuple[str, int]
EXAMPLES: Final = 5
MAY_LACK: Final = ("may_fail", "may_cancel")


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise."""

    promise: str
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.promise} {self.name}: {self.detail}"


@dataclass(slots=True)
class Call:
    """One call that the API accepted; `began` and `ended` are numbers of the journal's entries."""

    batch: str
    customer: str
    key: str | None
    images: list[Image]
    began: int
    ended: int | None = None
    failed: dict[int, str] = field(default_factory=dict)

    def taken(self) -> list[Image]:
        """What the call delivered, or may still deliver."""
        return [image for place, image in enumerate(self.images) if place not in self.failed]


@dataclass(slots=True)
class Run:
    """Everything there is about a run, put in order."""

    journal: list[Entry]
    jobs: dict[str, Entry] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    poison: list[Entry] = field(default_factory=list)
    quiet: list[Entry] = field(default_factory=list)
    records: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def customers(self) -> set[str]:
        """Whose promises are looked at."""
        return {job["customer"] for job in self.jobs.values()}


def check(
    history: Iterable[Entry], journal: Iterable[Entry], records: Iterable[Entry]
) -> list[Violation]:
    """Every violation. Entries about customers who handed nothing in, in `history`, are passed over."""
    run = _run_of(history, list(journal), records)
    one_call = [*_overlaps(run), *_attempts(run), *_doubtful(run)]
    each_image = [*_images(run), *_repeats(run), *_unreadable(run), *_dead_letters(run)]
    return [*one_call, *each_image, *_ends(run), *_numbers(run)]


def _run_of(history: Iterable[Entry], journal: list[Entry], records: Iterable[Entry]) -> Run:
    run = Run(journal)
    for entry in history:
        match entry["kind"]:
            case "submit":
                run.jobs[entry["job"]] = entry
            case "foreign":
                run.foreign.add(entry["key"])
            case "poison":
                run.poison.append(entry)
            case "quiet":
                run.quiet.append(entry)
    for record in records:
        run.records[record["topic"]].append(record)
    by_batch: dict[str, Call] = {}
    mine = run.customers()
    for number, entry in enumerate(journal):
        if entry["kind"] == "accepted" and entry["customer"] in mine:
            images = [] if entry["key"] in run.foreign else [*map(_image_of, entry["urls"])]
            call = Call(entry["batch"], entry["customer"], entry["key"], images, number)
            by_batch[call.batch] = call
            run.calls.append(call)
        elif entry["kind"] == "finished" and entry["batch"] in by_batch:
            call = by_batch[entry["batch"]]
            call.ended = number
            call.failed = {item["place"]: item["cause"] for item in entry["failed"]}
    return run


def _image_of(url: str) -> Image:
    """A result's public URL is `…/<job>/<index>/<output>.<ext>`."""
    *_, job, index, _ = url.split("/")
    return job, int(index)


def _overlaps(run: Run) -> Iterator[Violation]:
    active: defaultdict[str, list[Call]] = defaultdict(list)
    for call in run.calls:
        before = [
            one for one in active[call.customer] if one.ended is None or one.ended > call.began
        ]
        for one in before:
            yield Violation("I1", "overlap", f"{call.customer}: {call.batch} during {one.batch}")
        active[call.customer] = [*before, call]


def _attempts(run: Run) -> Iterator[Violation]:
    """Calls that only the API's own 409 has prevented. A repeated key is no second call."""
    spans = [call for call in run.calls if call.key not in run.foreign]
    suspects: dict[int, str] = {}
    for number, entry in enumerate(run.journal):
        if entry["kind"] == "request" and entry.get("method") == "POST":
            if entry.get("key") in run.foreign:
                continue
            for call in spans:
                during = call.began < number and (call.ended is None or number < call.ended)
                if during and entry["customer"] == call.customer and entry["key"] != call.key:
                    suspects[entry["request"]] = f"{call.customer}: during {call.batch}"
        elif entry["kind"] == "answer" and entry["status"] == 409 and entry["request"] in suspects:
            yield Violation("I1", "attempted", suspects[entry["request"]])


def _images(run: Run) -> Iterator[Violation]:
    delivered = {image for call in run.calls if call.ended is not None for image in call.taken()}
    for call in run.calls:
        for job, index in call.images:
            handed_in = run.jobs.get(job)
            if handed_in is None or handed_in["customer"] != call.customer:
                yield Violation("I2", "unexpected", f"{job}:{index} in a call of {call.customer}")
            elif not 0 <= index < handed_in["images"]:
                yield Violation("I2", "unexpected", f"{job}:{index} of {handed_in['images']}")
    for job, handed_in in run.jobs.items():
        bad, lenient = set(handed_in["bad"]), any(map(handed_in.get, MAY_LACK))
        told = _last_told(run, job)
        unaccounted = (told["failed"] + told["cancelled"]) if told else 0
        missing = [n for n in range(handed_in["images"]) if (job, n) not in delivered]
        for index in sorted(set(range(handed_in["images"])).difference(missing) & bad):
            yield Violation("I2", "delivered_though_bad", f"{job}:{index}")
        good = [index for index in missing if index not in bad]
        lost = len(missing) > unaccounted
        if good and (lost or not lenient):
            detail = f"{job}: {len(good)} images, such as {good[:EXAMPLES]}"
            yield Violation("I2", "lost" if lost else "failed_though_good", detail)


def _repeats(run: Run) -> Iterator[Violation]:
    first: dict[Image, str] = {}
    for call in run.calls:
        for image in call.taken():
            if image in first:
                yield Violation("I3", "doubled", f"{image} in {first[image]} and {call.batch}")
            first.setdefault(image, call.batch)
    digests: defaultdict[str, set[str]] = defaultdict(set)
    mine = run.customers()
    for entry in run.journal:
        if entry["kind"] == "request" and entry.get("customer") in mine and entry.get("key"):
            digests[entry["key"]].add(str(entry.get("digest")))
    for key, bodies in digests.items():
        if len(bodies) > 1:
            yield Violation("I3", "key_reused", f"{key} with {len(bodies)} bodies")


def _last_told(run: Run, job: str) -> Entry | None:
    told = [one["value"] for one in run.records["finished"] if one["value"]["job_id"] == job]
    return told[-1] if told else None


def _ends(run: Run) -> Iterator[Violation]:
    tellings: defaultdict[str, list[Entry]] = defaultdict(list)
    for record in run.records["finished"]:
        tellings[record["value"]["job_id"]].append(record)
    delivered = Counter(
        job for call in run.calls if call.ended is not None for job, _ in set(call.taken())
    )
    for job, handed_in in run.jobs.items():
        told = tellings[job]
        if not told:
            yield Violation("I9", "unfinished", f"job {job} of {handed_in['customer']}")
            continue
        if len({(one["id"], _counts(one["value"])) for one in told}) > 1:
            yield Violation("I4", "told_differently", f"{job}: {len(told)} times")
        images, ok, failed, cancelled = _counts(told[-1]["value"])
        right = images == handed_in["images"] == ok + failed + cancelled and ok == delivered[job]
        if not right or (cancelled and not handed_in.get("may_cancel", False)):
            detail = f"{job}: told {images} = {ok} + {failed} + {cancelled},"
            detail += f" handed in {handed_in['images']}, delivered {delivered[job]}"
            yield Violation("I4", "miscounted", detail)
    for call in run.calls:
        if call.ended is None:
            yield Violation("I9", "unfinished", f"call {call.batch} of {call.customer}")


def _counts(event: Entry) -> tuple[int, int, int, int]:
    return event["images"], event["delivered"], event["failed"], event["cancelled"]


def _unreadable(run: Run) -> Iterator[Violation]:
    for call in run.calls:
        for place, cause in call.failed.items():
            if cause == "fetch" and call.images:
                yield Violation("I5", "unreadable", f"{call.images[place]} in {call.batch}")


def _numbers(run: Run) -> Iterator[Violation]:
    tellings: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    mine = run.customers()
    for record in run.records["completed"]:
        event = record["value"]
        if event["type"].startswith("call.completed.") and event["customer_id"] in mine:
            said = json.dumps([event["images"], event["status"], event.get("call_id")])
            tellings[event["customer_id"]][event["seq"]].add(said)
    for customer, seqs in tellings.items():
        missing = sorted(set(range(1, max(seqs) + 1)) - seqs.keys())
        if missing:
            yield Violation("I5", "gap", f"{customer}: {missing[:EXAMPLES]} of {max(seqs)}")
        for seq, versions in seqs.items():
            if len(versions) > 1:
                yield Violation("I5", "number_reused", f"{customer}: {seq} is {sorted(versions)}")


def _dead_letters(run: Run) -> Iterator[Violation]:
    due = Counter((one["topic"], one["raw"]) for one in run.poison)
    for topic, records in list(run.records.items()):
        if not topic.startswith("dlq."):
            continue
        for raw, times in Counter(one["raw"] for one in records).items():
            place = (topic.removeprefix("dlq."), raw)
            if place not in due:
                yield Violation("I7", "put_aside", f"{topic}: {times} times {str(raw)[:200]}")
            due[place] -= times
    for (topic, raw), left in due.items():
        if left > 0:  # more is no harm: a record may be read twice around a crash
            yield Violation("I7", "swallowed", f"{topic}: {left} times {str(raw)[:200]}")


def _doubtful(run: Run) -> Iterator[Violation]:
    mine = run.customers()
    posts = [e for e in run.journal if e["kind"] == "request" and e.get("method") == "POST"]
    for span in run.quiet:
        whose = set(span.get("customers") or mine)
        for post in posts:
            if span["from"] < post["monotonic"] < span["to"] and post.get("customer") in whose:
                late = post["monotonic"] - span["from"]
                yield Violation("I8", "sent_in_doubt", f"{post['customer']}: {late:.1f} s too late")


def read(path: Path) -> list[Entry]:
    """The entries of a file. A last line that a kill has cut off never happened."""
    if not path.exists():
        return []
    text = path.read_bytes()
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def main() -> int:
    """The command; returns its exit code."""
    folder = Path(sys.argv[1])
    names = ("history.jsonl", "journal.ndjson", "records.jsonl")
    violations = check(*(read(folder / name) for name in names))
    for violation in violations:
        sys.stdout.write(f"{violation}\n")
    sys.stdout.write(f"{len(violations)} violations\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
