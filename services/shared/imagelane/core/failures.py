"""The closed list of failure codes that a customer may see: reason, whether it was tried again, what to do.

A reason never tells anything about the inside: no address, port, TLS text or response body.
A blocked address and a name that does not resolve have the same code, so that nobody can
enumerate our network by handing in URLs. `docs/failures.md` is made from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from imagelane.contracts.parts import Failure


class Code(StrEnum):
    """Why an image or a list ended without a result."""

    URL_REFUSED = "url_refused"
    UNREACHABLE = "unreachable"
    TLS_ERROR = "tls_error"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    NOT_FOUND = "not_found"
    HTTP_REFUSED = "http_refused"
    HTTP_ERROR = "http_error"
    RATE_LIMITED = "rate_limited"
    REDIRECT_REFUSED = "redirect_refused"
    BAD_RESPONSE = "bad_response"
    TOO_LARGE = "too_large"
    NOT_AN_IMAGE = "not_an_image"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_LARGE_DIMENSION = "too_large_dimension"
    TOO_COMPLEX = "too_complex"
    PROCESSING_CRASH = "processing_crash"
    PROCESSING_TIMEOUT = "processing_timeout"
    LIST_UNREADABLE = "list_unreadable"
    LIST_EMPTY = "list_empty"
    LIST_TOO_LONG = "list_too_long"
    LIST_TOO_LARGE = "list_too_large"
    LIST_COLUMN_MISSING = "list_column_missing"
    UNKNOWN_RECIPE = "unknown_recipe"
    UNKNOWN_DESTINATION = "unknown_destination"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    DEADLINE_PASSED = "deadline_passed"
    NOTIFY_URL_REFUSED = "notify_url_refused"
    JOB_DELETED = "job_deleted"
    SUBMISSION_TOO_OLD = "submission_too_old"


class Stage(StrEnum):
    """Where a code comes from."""

    DOWNLOAD = "download"
    IMAGE = "image"
    LIST = "list"


class Retried(StrEnum):
    """Whether another try was made before the code was told."""

    NO = "no"
    YES = "yes"
    SOMETIMES = "where it may pass"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code tells. `reason` is sent with it, `advice` is for the customer's people."""

    stage: Stage
    reason: str
    retried: Retried
    advice: str


MEANINGS: Final[dict[Code, Meaning]] = {
    Code.URL_REFUSED: Meaning(
        Stage.DOWNLOAD,
        "the line is not a URL that may be fetched",
        Retried.NO,
        "Correct the line: http or https, public host, usual port, no user name or spaces, at most 2,048 characters.",
    ),
    Code.UNREACHABLE: Meaning(
        Stage.DOWNLOAD,
        "the server could not be reached",
        Retried.SOMETIMES,
        "See that its name leads to public addresses only, and that it takes connections from the internet.",
    ),
    Code.TLS_ERROR: Meaning(
        Stage.DOWNLOAD,
        "the server's certificate or TLS connection is not valid",
        Retried.NO,
        "Renew the server's certificate, send its whole chain, and offer TLS 1.2 or newer.",
    ),
    Code.TIMEOUT: Meaning(
        Stage.DOWNLOAD,
        "the server took too long",
        Retried.YES,
        "Hand the image in again when the server answers faster, or put it behind a CDN.",
    ),
    Code.TOO_SLOW: Meaning(
        Stage.DOWNLOAD,
        "the server sent too slowly",
        Retried.YES,
        "As for `timeout`: the server sends less than the least pace.",
    ),
    Code.NOT_FOUND: Meaning(
        Stage.DOWNLOAD,
        "the server does not have the image",
        Retried.NO,
        "Correct the URL.",
    ),
    Code.HTTP_REFUSED: Meaning(
        Stage.DOWNLOAD,
        "the server refused the request",
        Retried.NO,
        "Allow the downloader's user agent, or use URLs that need no login (signed ones, say).",
    ),
    Code.HTTP_ERROR: Meaning(
        Stage.DOWNLOAD,
        "the server failed, several times",
        Retried.YES,
        "See to the server, and hand the image in again.",
    ),
    Code.RATE_LIMITED: Meaning(
        Stage.DOWNLOAD,
        "the server asked for fewer requests, several times",
        Retried.YES,
        "Raise the server's limit for the downloader, or ask the operator for a rate limit of its own.",
    ),
    Code.REDIRECT_REFUSED: Meaning(
        Stage.DOWNLOAD,
        "the server redirected to where it may not be followed, or too often",
        Retried.NO,
        "Name the URL at the end of the redirects; none may lead from https to http or to a URL that would be refused.",
    ),
    Code.BAD_RESPONSE: Meaning(
        Stage.DOWNLOAD,
        "the server's answer is not valid",
        Retried.SOMETIMES,
        "See that the server sends status 200, valid headers, no content encoding, and the whole file.",
    ),
    Code.TOO_LARGE: Meaning(
        Stage.DOWNLOAD,
        "the file is larger than allowed",
        Retried.NO,
        "Hand in a smaller file.",
    ),
    Code.NOT_AN_IMAGE: Meaning(
        Stage.DOWNLOAD,
        "the file is not an image of an accepted format",
        Retried.NO,
        "See what the URL serves: often it is a web page.",
    ),
    Code.CORRUPT: Meaning(
        Stage.IMAGE,
        "the image is damaged or cut off",
        Retried.NO,
        "Store the image anew, and hand it in again.",
    ),
    Code.TOO_MANY_PIXELS: Meaning(
        Stage.IMAGE,
        "the image has more pixels than allowed",
        Retried.NO,
        "Hand in a smaller image.",
    ),
    Code.TOO_LARGE_DIMENSION: Meaning(
        Stage.IMAGE,
        "a side of the image is longer than allowed",
        Retried.NO,
        "Hand in a smaller image.",
    ),
    Code.TOO_COMPLEX: Meaning(
        Stage.IMAGE,
        "the image takes too much work to decode",
        Retried.NO,
        "Store the image anew with a usual encoder.",
    ),
    Code.PROCESSING_CRASH: Meaning(
        Stage.IMAGE,
        "the image could not be decoded",
        Retried.YES,
        "Store the image anew with a usual encoder; tell the operator if it opens elsewhere.",
    ),
    Code.PROCESSING_TIMEOUT: Meaning(
        Stage.IMAGE,
        "the image took too long to decode",
        Retried.YES,
        "Hand in a smaller image, or store it anew with a usual encoder.",
    ),
    Code.LIST_UNREADABLE: Meaning(
        Stage.LIST,
        "the list could not be read",
        Retried.SOMETIMES,
        "The reason says what is wrong with `list_url` or with the file.",
    ),
    Code.LIST_EMPTY: Meaning(
        Stage.LIST,
        "the list has no lines",
        Retried.NO,
        "Hand in a list with at least one line.",
    ),
    Code.LIST_TOO_LONG: Meaning(
        Stage.LIST,
        "the list has more lines than allowed",
        Retried.NO,
        "Split the list.",
    ),
    Code.LIST_TOO_LARGE: Meaning(
        Stage.LIST,
        "the list is larger than allowed",
        Retried.NO,
        "Split the list, or leave out what is not needed.",
    ),
    Code.LIST_COLUMN_MISSING: Meaning(
        Stage.LIST,
        "the list has no such column",
        Retried.NO,
        "Name the CSV's column as `list_column`; the reason shows the first line.",
    ),
    Code.UNKNOWN_RECIPE: Meaning(
        Stage.LIST,
        "there is no such recipe",
        Retried.NO,
        "Name one that exists.",
    ),
    Code.UNKNOWN_DESTINATION: Meaning(
        Stage.LIST,
        "there is no such destination",
        Retried.NO,
        "Name one that the operator has set up.",
    ),
    Code.IDEMPOTENCY_CONFLICT: Meaning(
        Stage.LIST,
        "the idempotency key was used with other content",
        Retried.NO,
        "Use a new key for new content.",
    ),
    Code.DEADLINE_PASSED: Meaning(
        Stage.LIST,
        "the job's deadline had already passed",
        Retried.NO,
        "Name a later deadline, or none.",
    ),
    Code.NOTIFY_URL_REFUSED: Meaning(
        Stage.LIST,
        "nothing may be posted to the job's `notify_url`",
        Retried.NO,
        "Name a public `https://` URL without a user name, on a usual port.",
    ),
    Code.JOB_DELETED: Meaning(
        Stage.LIST,
        "the job of this idempotency key was deleted",
        Retried.NO,
        "Use a new key.",
    ),
    Code.SUBMISSION_TOO_OLD: Meaning(
        Stage.LIST,
        "the list was handed in too long ago",
        Retried.NO,
        "Hand it in again.",
    ),
}
"""Every code has one."""

REASONS: Final[dict[Code, str]] = {code: one.reason for code, one in MEANINGS.items()}


def failure(code: Code, detail: str = "") -> Failure:
    """The event's `failure`. `detail` must be safe to show: the customer's own words, or a limit."""
    reason = REASONS[code] + (f": {detail}" if detail else "")
    return Failure(code=code.value, reason=reason[:2_000])
