"""Everything that is not an answer: problems as RFC 9457 describes them, built in one place.

A problem's `type` is stable and meant for programs, its `detail` for people. `field` names the parameter
that is at fault, `code` the failure that a job would have ended with.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from imagelane.gateway.status import UNREADABLE

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:imagelane:problem:"
RETRY_SECONDS: Final = 5
BEGUN: Final = web.RequestKey("begun", bool)
"""Set on a request whose answer has begun: what fails from here on can only break the connection."""
CLOSES: Final = frozenset({408, 413})
"""Whatever of the body is still on its way is not read."""


class Kind(Enum):
    """Every kind of problem: its status, and what it is called."""

    MALFORMED_BODY = (400, "The body cannot be read")
    UNAUTHENTICATED = (401, "An API key is needed")
    NOT_SIGNED = (401, "The webhook is not signed as it should be")
    FORBIDDEN = (403, "The API key does not open this")
    NOT_FOUND = (404, "There is no such thing")
    METHOD_NOT_ALLOWED = (405, "This cannot be done here")
    BODY_TOO_SLOW = (408, "The body takes too long")
    NOT_NOW = (409, "It is too late for this, or too early")
    BODY_TOO_LARGE = (413, "The body is too large")
    UNSUPPORTED_MEDIA_TYPE = (415, "The body is of a type that is not read")
    INVALID_PARAMETER = (422, "A parameter is not valid")
    IDEMPOTENCY_KEY_REUSED = (422, "The idempotency key was used with other content")
    TOO_MANY = (429, "More than is allowed")
    INTERNAL = (500, "Our mistake")
    NOT_TAKEN = (503, "It was not taken")
    STATUS_UNAVAILABLE = (503, "The status cannot be looked up now")

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def type(self) -> str:
        """A URN that never changes."""
        return TYPE_PREFIX + self.name.lower().replace("_", "-")


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sent."""

    type: str
    title: str
    status: int
    detail: str
    field: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """Ends a request with this answer. `retry_after_seconds` becomes a header."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        field: str | None = None,
        code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.field = field
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    def answer(self) -> web.Response:
        """The problem as a response."""
        kind = self.kind
        body = ProblemBody(
            type=kind.type,
            title=kind.value[1],
            status=kind.status,
            detail=self.detail,
            field=self.field or msgspec.UNSET,
            code=self.code or msgspec.UNSET,
        )
        response = web.Response(
            status=kind.status,
            body=msgspec.json.encode(body),
            content_type=CONTENT_TYPE,
            headers=_headers(kind, self.retry_after_seconds),
        )
        if kind.status in CLOSES:
            response.force_close()
        return response


def invalid(field: str, detail: str, *, code: str | None = None) -> Problem:
    """A parameter is at fault; `field` is its name."""
    return Problem(Kind.INVALID_PARAMETER, detail, field=field, code=code)


def not_found(what: str) -> Problem:
    """The same for what is not there and for what is another customer's."""
    return Problem(Kind.NOT_FOUND, f"there is no such {what}")


def not_taken() -> Problem:
    """Kafka did not take it in time. Nothing is lost that was promised: ask again."""
    return Problem(
        Kind.NOT_TAKEN,
        "it could not be stored safely; try again",
        retry_after_seconds=RETRY_SECONDS,
    )


def status_unavailable() -> Problem:
    """The tracker's database cannot be read. What was handed in goes on all the same."""
    return Problem(
        Kind.STATUS_UNAVAILABLE, "try again in a moment", retry_after_seconds=RETRY_SECONDS
    )


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal becomes a problem; what nobody expected is logged and told without its reasons."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.answer()
    except UNREADABLE as error:
        if request.get(BEGUN):
            raise
        structlog.get_logger("imagelane.gateway").warning("status.unavailable", reason=str(error))
        return status_unavailable().answer()
    except web.HTTPNotFound:
        return not_found("path").answer()
    except web.HTTPMethodNotAllowed as error:
        response = Problem(
            Kind.METHOD_NOT_ALLOWED, f"{request.method} is not for this path"
        ).answer()
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:  # a request's outermost shell: one that fails must not end the others
        structlog.get_logger("imagelane.gateway").exception(
            "request.failed", method=request.method, path=request.path
        )
        if request.get(BEGUN):
            raise  # half an answer is out: the connection breaks, so that nobody takes it for a whole one
        return Problem(Kind.INTERNAL, "it is logged; try again").answer()


def _headers(kind: Kind, retry_after_seconds: int | None) -> Mapping[str, str]:
    headers = {"Cache-Control": "no-store"}
    if kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="imagelane"'
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    return headers
