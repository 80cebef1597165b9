"""`imagelane dlq`: records that could not be read, and what a person does with them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Final, Literal

import msgspec
import typer
from confluent_kafka import KafkaException

from imagelane.contracts.codec import UnreadableRecordError
from imagelane.contracts.dead_letters import DeadLetterDecided
from imagelane.ops.command_line import By, CommandSettings, Yes, decider, fail, spoken, valid
from imagelane.ops.dead_letters import (
    TOPICS,
    DeadLetter,
    Place,
    Wanted,
    dead_letters,
    decisions,
    note,
    replay,
    span,
)
from imagelane.ops.delivery import DeliveryError
from imagelane.ops.letter_page import (
    Counts,
    Row,
    count_lines,
    letter_page,
    letter_table,
    summary,
    whole,
)
from imagelane.ops.wide import wide_console
from imagelane.platform.latest_records import ReadingTooLongError
from imagelane.platform.settings import KafkaSettings, load_or_exit

CHUNK_LETTERS: Final = 200
SPOKEN: Final = (KafkaException, DeliveryError, ReadingTooLongError, UnreadableRecordError)
Decided = Mapping[Place, DeadLetterDecided]

app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: records that could not be read. A letter is named by where it stood: `urls/3/17`.",
)

Places = Annotated[
    list[str] | None, typer.Argument(help="Letters, such as urls/3/17; all that fit without.")
]
Topic = Annotated[
    list[str] | None, typer.Option(help="Only of this topic, such as urls. May be repeated.")
]
Key = Annotated[str | None, typer.Option(help="Only with this key, a customer's id.")]
Reason = Annotated[str | None, typer.Option(help="Only with this text in the reason.")]
Since = Annotated[str | None, typer.Option(help="Only put aside since then: 90s, 15m, 2h, 7d ago.")]
Until = Annotated[
    str | None, typer.Option(help="Only put aside before then: 90s, 15m, 2h, 7d ago.")
]
Note = Annotated[str | None, typer.Option(help="Why; it is kept with the decision.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON each.")]


@app.command("list")
def list_letters(
    places: Places = None,
    topic: Topic = None,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    *,
    with_decided: Annotated[
        bool, typer.Option("--all", help="Those that were replayed or dropped, too.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many are shown at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Lists the letters that nobody has decided about, and counts them by topic and reason."""
    wanted = _wanted(places, topic, key, reason, since, until)
    kafka = load_or_exit(CommandSettings).kafka
    counts: Counts = Counter()
    rows: list[Row] = []
    with spoken(*SPOKEN):
        decided = decisions(kafka)
        for letter in dead_letters(kafka, wanted):
            decision = decided.get(letter.place)
            if decision is not None and not with_decided:
                continue
            counts[letter.place.topic, letter.reason] += 1
            if as_json:
                typer.echo(msgspec.json.encode(summary(letter, decision)).decode())
            elif len(rows) < limit:
                rows.append((letter, decision))
    if as_json:
        return
    if not rows:
        typer.echo("no dead letter waits for a decision")
        return
    wide_console().print(letter_table(rows))
    for line in count_lines(counts, len(rows)):
        typer.echo(line)


@app.command()
def show(
    place: Annotated[str, typer.Argument(help="The letter, such as urls/3/17.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the value's bytes, as they came.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Shows one letter whole: where it stood, why it is here, its headers and its value."""
    kafka = load_or_exit(CommandSettings).kafka
    wanted = _wanted([place], None, None, None, None, None)
    with spoken(*SPOKEN):
        letter = next(dead_letters(kafka, wanted), None)
        if letter is None:
            fail(f"PLACE: no dead letter stood at {place}; those older than 30 days are gone")
        decision = decisions(kafka).get(letter.place)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
    elif as_json:
        typer.echo(msgspec.json.encode(whole(letter, decision)).decode())
    else:
        typer.echo("\n".join(letter_page(letter, decision)))


@app.command("replay")
def replay_letters(
    places: Places = None,
    topic: Topic = None,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Those that were decided before, too.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Those that cannot be read today either, too.")
    ] = False,
    note_text: Annotated[
        str | None, typer.Option("--note", help="Why; it is kept with the decision.")
    ] = None,
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Puts letters on their topics again, with their own key, value and headers.

    A letter that is replayed twice has the effect of one. What cannot be read is put aside again.
    """
    choice = Choice(_wanted(places, topic, key, reason, since, until), again, anyway)
    _decide(Verdict("replayed", decider(by), note_text), choice, dry_run=dry_run, yes=yes)


@app.command()
def drop(
    places: Places = None,
    topic: Topic = None,
    key: Key = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    *,
    note_text: Annotated[
        str | None, typer.Option("--note", help="Why; it is kept with the decision.")
    ] = None,
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Notes that letters need nothing more: they are no longer listed.

    They stay on their `dlq.` topic for its 30 days, and can still be replayed with --again.
    """
    choice = Choice(_wanted(places, topic, key, reason, since, until), anyway=True)
    _decide(Verdict("dropped", decider(by), note_text), choice, dry_run=dry_run, yes=yes)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters: those that fit and are undecided, unless `again`; and readable, unless `anyway`."""

    wanted: Wanted
    again: bool = False
    anyway: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be decided, by whom, and why."""

    decision: Literal["replayed", "dropped"]
    who: str
    note: str | None

    def on(self, letter: DeadLetter) -> DeadLetterDecided:
        """The event of it. Ends the command if the note does not fit."""
        fields = {
            **letter.place._asdict(),
            "decision": self.decision,
            "decided_by": self.who,
            "occurred_at": datetime.now(UTC),
            **({} if self.note is None else {"note": self.note}),
        }
        return valid(DeadLetterDecided, fields, {"note": "--note", "decided_by": "--by"})


def _decide(verdict: Verdict, choice: Choice, *, dry_run: bool, yes: bool) -> None:
    kafka = load_or_exit(CommandSettings).kafka
    with spoken(*SPOKEN):
        decided = {} if choice.again else decisions(kafka)
        count = 0
        for letter in _chosen(kafka, choice, decided, say=True):
            count += 1
            if dry_run:
                typer.echo(f"{letter.place} would be {verdict.decision}: {letter.reason}")
        if count == 0:
            fail("no dead letter fits that is not decided yet; imagelane dlq list --all shows all")
        if dry_run:
            return
        if not yes:
            question = f"{count} letters are to be {verdict.decision}. Is this your decision?"
            typer.confirm(question, abort=True)
        letters = _chosen(kafka, choice, decided, say=False)
        while chunk := list(islice(letters, CHUNK_LETTERS)):
            events = [verdict.on(one) for one in chunk]
            if verdict.decision == "replayed":
                replay(kafka, chunk)
            note(kafka, events)
    typer.echo(f"{count} letters are {verdict.decision}")


def _chosen(
    kafka: KafkaSettings, choice: Choice, decided: Decided, *, say: bool
) -> Iterator[DeadLetter]:
    for letter in dead_letters(kafka, choice.wanted):
        if letter.place in decided:
            continue
        trouble = "" if choice.anyway else letter.trouble()
        if not trouble:
            yield letter
        elif say:
            typer.echo(f"{letter.place} is left: {trouble}; --anyway takes it, too", err=True)


def _wanted(
    places: list[str] | None,
    topics: list[str] | None,
    key: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
) -> Wanted:
    for one in topics or ():
        if one not in TOPICS:
            fail(f"--topic: {one!r} has no dead letters; topics are {', '.join(TOPICS)}", code=2)
    found = frozenset(_parsed("PLACE", Place.parse, one) for one in places or ())
    of_places = {one.topic for one in found}
    return Wanted(
        topics=tuple(
            one for one in TOPICS if one in (topics or TOPICS) and (not found or one in of_places)
        ),
        places=found,
        key=key,
        reason=reason,
        since=_moment("--since", since),
        until=_moment("--until", until),
    )


def _moment(option: str, text: str | None) -> datetime | None:
    return None if text is None else datetime.now(UTC) - _parsed(option, span, text)


def _parsed(name: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        fail(f"{name}: {error}", code=2)
