"""What is made of the batch API's answers to requests that start nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from imagelane.ops.doctor.core.findings import Finding, Report

BASE_URL: Final = "IMAGELANE_BATCH_API__BASE_URL"
TOKEN: Final = "IMAGELANE_BATCH_API__TOKEN_FILE"  # noqa: S105 - a variable's name
CAPABILITIES: Final = "IMAGELANE_DISPATCHER__CAPABILITIES"
OK: Final = 200
DENIED: Final = frozenset({401, 403})
NOT_OFFERED: Final = frozenset({404, 405, 501})
UNKNOWN_ID: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: none came, and `error` says why. `calls`: how many a listing held, None if it was none."""

    status: int
    error: str = ""
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class ApiSeen:
    """Answers to a listing by a reference that nobody has used, and to a look at a call that nobody has made."""

    base_url: str
    listing: Answer
    unknown: Answer
    without_token: Answer | None = None
    """The same listing without the token, where there is one."""


def judge_batch_api(seen: ApiSeen, level: Literal["A", "B", "C", "D"] | None) -> Report:
    """`level` is the setting's; None if it is not given here."""
    if not seen.listing.status:
        return Report((), (_unreached(seen),))
    if seen.listing.status in DENIED:
        return Report((), (_denied(seen.listing),))
    facts = [f"{seen.base_url} answers"]
    if seen.without_token is not None and seen.without_token.status in DENIED:
        facts.append("it takes our token, and refuses who has none")
    elif seen.without_token is not None and seen.without_token.status == OK:
        facts.append("it asks nobody for a token, so ours may be right or wrong")
    return Report(tuple(facts), (*_listing(seen, level), *_unknown(seen)))


def _unreached(seen: ApiSeen) -> Finding:
    return Finding(
        BASE_URL,
        f"{seen.base_url} does not answer: {seen.listing.error}",
        "correct the variable, or open the way to it (proxy, egress, network policy)",
    )


def _denied(answer: Answer) -> Finding:
    return Finding(
        TOKEN,
        f"the batch API answers {answer.status}: it does not take our token",
        "write the new token into that file; it is read for every request, so nothing has to be restarted",
    )


def _listing(seen: ApiSeen, level: str | None) -> Iterator[Finding]:
    answer = seen.listing
    if answer.status in NOT_OFFERED:
        if level in ("A", "B", "C"):
            yield Finding(
                CAPABILITIES,
                f"says {level}, and the API lists no calls ({answer.status}): what is unclear stays so",
                "correct IMAGELANE_BATCH_API__BATCHES_PATH, or set D if the API has no listing",
            )
        return
    if answer.status != OK or answer.calls is None:
        yield Finding(
            BASE_URL,
            f"a listing of calls is answered {answer.status}, not as the contract says",
            "is this the batch API? Look at the paths, IMAGELANE_BATCH_API__BATCHES_PATH and …__BATCH_PATH",
        )
    elif answer.calls:
        yield Finding(
            CAPABILITIES,
            f"a look-up by a reference that nobody has used finds {answer.calls} calls: the API does not heed it",
            "ask the API's side; without look-ups by reference the level is D",
        )


def _unknown(seen: ApiSeen) -> Iterator[Finding]:
    if seen.unknown.status and seen.unknown.status not in UNKNOWN_ID:
        yield Finding(
            "IMAGELANE_BATCH_API__BATCH_PATH",
            f"a look at a call that does not exist is answered {seen.unknown.status}, not 404",
            "correct the path, or ask the API's side: a vanished call would not be noticed",
        )
