"""The closed list of failure codes that a customer may see, each with its public reason.

A reason never tells anything about the inside: no address, port, TLS text or response body.
A blocked address and a name that does not resolve have the same code, so that nobody can
enumerate our network by handing in URLs.
"""

from __future__ import annotations

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
    JOB_DELETED = "job_deleted"
    SUBMISSION_TOO_OLD = "submission_too_old"


REASONS: Final[dict[Code, str]] = {
    Code.URL_REFUSED: "the line is not a URL that may be fetched",
    Code.UNREACHABLE: "the server could not be reached",
    Code.TLS_ERROR: "the server's certificate or TLS connection is not valid",
    Code.TIMEOUT: "the server took too long",
    Code.TOO_SLOW: "the server sent too slowly",
    Code.NOT_FOUND: "the server does not have the image",
    Code.HTTP_REFUSED: "the server refused the request",
    Code.HTTP_ERROR: "the server failed, several times",
    Code.RATE_LIMITED: "the server asked for fewer requests, several times",
    Code.REDIRECT_REFUSED: "the server redirected to where it may not be followed, or too often",
    Code.BAD_RESPONSE: "the server's answer is not valid",
    Code.TOO_LARGE: "the file is larger than allowed",
    Code.NOT_AN_IMAGE: "the file is not an image of an accepted format",
    Code.CORRUPT: "the image is damaged or cut off",
    Code.TOO_MANY_PIXELS: "the image has more pixels than allowed",
    Code.TOO_LARGE_DIMENSION: "a side of the image is longer than allowed",
    Code.TOO_COMPLEX: "the image takes too much work to decode",
    Code.PROCESSING_CRASH: "the image could not be decoded",
    Code.PROCESSING_TIMEOUT: "the image took too long to decode",
    Code.LIST_UNREADABLE: "the list could not be read",
    Code.LIST_EMPTY: "the list has no lines",
    Code.LIST_TOO_LONG: "the list has more lines than allowed",
    Code.LIST_TOO_LARGE: "the list is larger than allowed",
    Code.LIST_COLUMN_MISSING: "the list has no such column",
    Code.UNKNOWN_RECIPE: "there is no such recipe",
    Code.UNKNOWN_DESTINATION: "there is no such destination",
    Code.IDEMPOTENCY_CONFLICT: "the idempotency key was used with other content",
    Code.DEADLINE_PASSED: "the job's deadline had already passed",
    Code.JOB_DELETED: "the job of this idempotency key was deleted",
    Code.SUBMISSION_TOO_OLD: "the list was handed in too long ago",
}


def failure(code: Code, detail: str = "") -> Failure:
    """The event's `failure`. `detail` must be safe to show: the customer's own words, or a limit."""
    reason = REASONS[code] + (f": {detail}" if detail else "")
    return Failure(code=code.value, reason=reason[:2_000])
