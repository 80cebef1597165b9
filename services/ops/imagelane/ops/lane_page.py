"""`docs/lanes.md`: a lane's states, holds and answers, from the dispatcher's own decisions.

Nothing here repeats what the code does: the diagram is its transition table, and what follows from an
answer of the batch API is what the code decides when it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, get_args

from imagelane.contracts.parts import CallPlan
from imagelane.dispatcher.core import answers as a
from imagelane.dispatcher.core import lane as lanes
from imagelane.dispatcher.core import pursuit
from imagelane.dispatcher.core.holds import HOLDS
from imagelane.dispatcher.core.http_answers import Expected, start_answer
from imagelane.dispatcher.core.lane import MEANINGS, TRANSITIONS
from imagelane.dispatcher.core.policy import Capabilities, Moment
from imagelane.dispatcher.core.step import Answer, Kind, Pursuit, Verdict
from imagelane.dispatcher.settings import DispatcherSettings
from imagelane.ops.schema_words import table

_HEAD: Final = """\
# Lanes

Made from the dispatcher's code by `python -m imagelane.ops.reference --write`.

Each customer has a lane: one call at the batch API at a time, each image in exactly one of them. The dispatcher keeps
the lanes in its log, the topic `calls`; `imagelane lanes` shows them.

## States

Each arrow is one transaction, durable before anything follows from it.
"""
_MOVES: Final = """
| move | meaning |
|---|---|
"""
_ANSWERS: Final = """
## What follows from an answer

How the batch API answers a request for a new call, and what that leads to, for each level of what the API offers
(`IMAGELANE_DISPATCHER__CAPABILITIES`; the levels are told in [what is guaranteed](guarantees.md)). *In doubt* is a call
of which an earlier attempt may have been taken. Waits are those of the default settings; those after a failure grow.
"""
_STATUSES: Final = """
Which HTTP status means what, with a body as the reference contract has it (any other body makes of 2xx an unreadable
answer, and changes nothing of the rest, but that a 400 or 422 about the key itself does not let us in):
"""
_LOOKS: Final = """
An unknown word for a batch's status means that it runs. A running call that the API does not know any more, several
times in a row, is held. Webhooks only cause a look: what the API says when it is asked is what counts.

A call that takes far longer than the customer's calls usually take is *overdue*: one line at error level, a metric,
and `overdue_since` in the lane. Nothing else follows from it, least of all a second call.
"""
_HOLDS: Final = """
## Holds, and what to do

A held lane sends nothing. Its reason stands in the log, in the lane's record and in `imagelane lanes`. What can be
tried again without harm is tried every {hold_seconds:.0f} s (`IMAGELANE_DISPATCHER__HOLD_SECONDS`); the rest waits for
a person:

    imagelane lanes release CUSTOMER --retry | --treat-as-done | --treat-as-failed

`retry` sends the same bytes under the same key, after looking for the call where the API can be asked. A call whose
URLs are signed and have half of their time behind them is not sent any more: in place of the next attempt it is given
up, and its images go into a new call with new signatures. One in doubt is looked for before, as before any second
attempt; where the API cannot be asked it stays held until a person's `retry` says that it never came. `treat_as_done`
records all images of the call as delivered, `treat_as_failed` all as failed; both end it, and the next call may follow
at once: where the API itself does not refuse a second call (levels C and D), be sure that none runs.

A decision is about the call that is held now. It counts only if it was taken after the hold began, so that reading a
command twice does nothing twice. Who decided what, when and why stays on the topic `commands`, in the lane's record, in
the call's answer, and in one line of the log; so does a decision that did not fit, with the reason.
"""
_AMONG_STATUSES: Final = (
    200,
    202,
    204,
    302,
    400,
    401,
    403,
    404,
    408,
    409,
    413,
    422,
    425,
    429,
    500,
    502,
    503,
)
_LEVELS: Final[tuple[Capabilities, ...]] = get_args(Capabilities)
_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
_OURS: Final = "v1-ours"
_BATCH: Final = b'{"id": "b-1", "reference": "v1-ours", "status": "active"}'
_EXAMPLES: Final[tuple[tuple[str, a.StartAnswer], ...]] = (
    ("it has the call", a.Accepted(a.Call("b-1", a.CallStatus.ACTIVE, _OURS))),
    ("it refuses the request for good", a.Refused("")),
    ("busy with this very call", a.Busy(a.Call("b-1", a.CallStatus.ACTIVE, _OURS))),
    ("busy with a foreign call", a.Busy(a.Call("b-9", a.CallStatus.ACTIVE, "theirs"))),
    ("not now, or nobody listens there", a.Later()),
    ("it does not let us in", a.Denied("")),
    ("no answer, a broken one, or an unreadable one", a.Unclear("")),
)
_STEPS: Final = {
    Kind.ATTEMPT: "send again",
    Kind.SEND: "send",
    Kind.FIND: "look for it by its reference",
    Kind.LOOK: "look how it stands",
    Kind.WATCH: "wait for the foreign call's end",
}


def page() -> str:
    """The whole page. The same code gives the same text."""
    hold_seconds = _moment("A").policy.hold_seconds
    moves = "\n".join(f"| {move} | {meaning} |" for move, meaning in MEANINGS.items())
    holds = [(hold.says.format(detail="…"), hold.remedy) for hold in HOLDS.values()]
    return "\n".join(
        [
            _HEAD,
            _diagram(),
            _MOVES + moves,
            _ANSWERS,
            table(("the API says", *_LEVELS), [*_rows(in_doubt=False)]),
            table(("in doubt, the API says", *_LEVELS), [*_rows(in_doubt=True)]),
            _STATUSES,
            table(("status", "means"), [*_statuses()]),
            _LOOKS,
            _HOLDS.format(hold_seconds=hold_seconds),
            table(("the reason says", "and"), holds),
        ]
    )


def _diagram() -> str:
    arrows = [f"    {before} --> {after}: {move}" for (before, move), after in TRANSITIONS.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> idle", *arrows, "```"])


def _rows(*, in_doubt: bool) -> Iterator[tuple[str, ...]]:
    for words, answer in _EXAMPLES:
        yield words, *(_follows(answer, level, in_doubt=in_doubt) for level in _LEVELS)


def _follows(answer: Answer, level: Capabilities, *, in_doubt: bool) -> str:
    idle = lanes.unheard_of("acme", _NOW)
    plan = CallPlan(
        seq=1, jobs=[], images=0, reference=_OURS, body_sha256="0" * 64, planned_at=_NOW
    )
    lane = lanes.attempt(lanes.plan(idle, plan, _NOW), _NOW, in_doubt=in_doubt)
    verdict = pursuit.advance(lane, Pursuit(Kind.SEND), answer, _moment(level))
    if verdict.end is not None:
        return "ended: what is named fails, the rest returns"
    state = lane.state if verdict.lane is None else verdict.lane.state
    return f"{state}: {_step(verdict)}"


def _step(verdict: Verdict) -> str:
    step = verdict.pursuit
    if step is None:
        return "a person decides"
    wait = f" after {step.after_seconds:g} s" if step.after_seconds else ""
    return _STEPS[step.kind] + wait


def _statuses() -> Iterator[tuple[str, str]]:
    words = {type(answer): words for words, answer in _EXAMPLES} | {a.Busy: "busy"}
    meanings: dict[str, list[str]] = {}
    for status in _AMONG_STATUSES:
        meanings.setdefault(words[type(_answer(status, None))], []).append(str(status))
    meanings[words[type(_answer(503, "30"))]].append("503 with a readable `Retry-After`")
    for meaning, statuses in meanings.items():
        yield ", ".join(statuses), meaning


def _answer(status: int, retry_after: str | None) -> a.StartAnswer:
    return start_answer(status, retry_after, _BATCH, call=Expected("acme", _OURS), now=_NOW)


def _moment(level: Capabilities) -> Moment:
    return Moment(_NOW, 1.0, DispatcherSettings(capabilities=level).policy())
