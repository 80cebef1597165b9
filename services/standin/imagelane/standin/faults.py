"""Faults that a test can order: at the start as JSON, later through `/control/faults`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Times = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0, le=3_600)]


class Faults(Struct, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong. A `times` counts down and 0 is off; the rest holds until it is changed."""

    drop_answers_times: Times = 0
    """Accept the batch, then cut the connection instead of answering."""
    empty_answers_times: Times = 0
    """Accept the batch, then answer 202 without a body."""
    refuse_times: Times = 0
    """Answer POSTs with `refuse_status` and start nothing."""
    refuse_gets_times: Times = 0
    """The same for GETs."""
    refuse_status: Annotated[int, Meta(ge=400, le=599)] = 503
    refuse_retry_after: str | None = "1"
    """The `Retry-After` of a refusal: seconds, an HTTP date, or null for none."""
    delay_request_seconds: Seconds = 0.0
    """Wait before a POST is looked at, as if it had been late on the way."""
    delay_answer_seconds: Seconds = 0.0
    """Wait after a POST was decided, before it is answered."""
    webhooks: Literal["on", "off", "doubled", "early"] = "on"
    """`early`: besides the true one, one that claims `completed` before the POST is answered."""
    fail_urls: list[str] = []
    """Regular expressions: the items whose URL matches fail."""
    refuse_urls: list[str] = []
    """Regular expressions: POSTs with such URLs are answered 422, naming them as `invalid`."""
    fail_batches_times: Times = 0
    """The next batches to end fail as a whole."""
    never_end: bool = False
    """No batch ends while this holds."""
    status_word: str | None = None
    """What GETs show instead of the status."""
    forget: bool = False
    """GETs know no batch: 404 by id, nothing in lists."""

    def __post_init__(self) -> None:
        for pattern in (*self.fail_urls, *self.refuse_urls):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error

    def take(
        self,
        counter: Literal[
            "drop_answers_times",
            "empty_answers_times",
            "refuse_times",
            "refuse_gets_times",
            "fail_batches_times",
        ],
    ) -> bool:
        """Whether the fault strikes now; counts it down."""
        left: int = getattr(self, counter)
        if left:
            setattr(self, counter, left - 1)
        return left > 0


def matching(patterns: list[str], urls: list[str]) -> list[str]:
    """The URLs in which one of the patterns is found."""
    if not patterns:
        return []
    found = re.compile("|".join(f"(?:{pattern})" for pattern in patterns)).search
    return [url for url in urls if found(url)]


def parse(body: bytes | str) -> Faults:
    """Faults from JSON. Raises `ValueError` that names what does not fit."""
    return msgspec.json.decode(body, type=Faults)


def changed(faults: Faults, body: bytes) -> Faults:
    """`faults` with the fields that the JSON object in `body` names. Raises `ValueError`."""
    changes = msgspec.json.decode(body, type=dict[str, object])
    return msgspec.convert({**msgspec.to_builtins(faults), **changes}, Faults)
