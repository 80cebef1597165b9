"""What the gateway tells of in traces: that a job was handed in."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from imagelane.contracts.codec import Headers
from imagelane.contracts.topics import URLS
from imagelane.gateway.core.submission import Submission
from imagelane.platform.tracing import TRACEPARENT, Span, Tracing, Work

SUBMIT: Final = Work("submit job", "producer", URLS, place="root")


def submitted(tracing: Tracing, submission: Submission, cause: Headers) -> bytes | None:
    """The span of a submission, linked to the submitter's own in `cause`; None if it is not sampled."""
    if not tracing.samples(submission.trace):
        return None
    attributes = {
        "imagelane.customer_id": submission.event.customer_id,
        "imagelane.job_id": submission.job_id,
    }
    return tracing.record(Span(SUBMIT, submission.trace, attributes, cause=cause))


def cause_of(request: web.Request) -> Headers:
    """The submitter's own trace context, if the request has one."""
    given = request.headers.get(TRACEPARENT)
    return [] if given is None else [(TRACEPARENT, given.encode("ascii", "replace"))]
