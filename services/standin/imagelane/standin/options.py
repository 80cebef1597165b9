"""The command line of the stand-in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagelane.standin import faults
from imagelane.standin.contract import CAPABILITIES, Level
from imagelane.standin.faults import Faults
from imagelane.standin.fetching import FetchOptions
from imagelane.standin.running import Duration


@dataclass(frozen=True, slots=True)
class Options:
    """How a stand-in behaves."""

    journal: Path
    host: str = "127.0.0.1"
    port: int = 0
    level: Level = "A"
    duration: Duration = field(default_factory=Duration)
    fetch: FetchOptions = field(default_factory=FetchOptions)
    max_urls: int = 100_000
    token: str | None = None
    webhook_secret: str | None = None
    faults: Faults = field(default_factory=Faults)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line; wrong usage ends the process with 2 and a sentence."""
    given = _parser().parse_args(arguments)
    return Options(
        journal=given.journal,
        host=given.host,
        port=given.port,
        level=given.level,
        duration=Duration(given.base_seconds, given.per_url_seconds),
        fetch=FetchOptions(
            mode=given.fetch,
            concurrency=given.fetch_concurrency,
            patience_seconds=given.fetch_patience_seconds,
        ),
        max_urls=given.max_urls,
        token=given.token_file,
        webhook_secret=given.webhook_secret_file,
        faults=given.faults,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m imagelane.standin",
        description="A stand-in of the external batch API. Prints one line of JSON when it is ready.",
    )
    add = parser.add_argument
    add("--journal", type=Path, required=True, help="appended to; batches in it go on")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--level", choices=list(CAPABILITIES), default="A", help="what the API offers")
    add("--base-seconds", type=_seconds, default=1.0, help="a batch of n URLs takes a + b*n")
    add("--per-url-seconds", type=_seconds, default=0.001)
    add("--fetch", choices=["get", "head", "none"], default="get", help="how URLs are read")
    add("--fetch-concurrency", type=_positive, default=16, help="requests at a time per batch")
    add(
        "--fetch-patience-seconds",
        type=_seconds,
        default=10.0,
        help="how long a URL's server may be away before the item fails",
    )
    add("--max-urls", type=_positive, default=100_000, help="more in a batch are answered 413")
    add("--token-file", type=_secret, help="the bearer token that callers must send")
    add("--webhook-secret-file", type=_secret, help="whsec_…; without it there are no webhooks")
    add("--faults", type=_faults, default=Faults(), help="JSON as for POST /control/faults")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("seconds are not negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _secret(text: str) -> str:
    try:
        secret = Path(text).read_text().strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {error.strerror}") from error
    if not secret:
        raise argparse.ArgumentTypeError(f"{text} is empty")
    return secret


def _faults(text: str) -> Faults:
    try:
        return faults.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
