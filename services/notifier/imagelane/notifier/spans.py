"""What the notifier tells of in traces: every attempt of a notice, in the trace of its job.

A receiver is not told of the trace: it is a customer's, or somebody else's, who has no use for our ids.
"""

from __future__ import annotations

from typing import Final

from imagelane.contracts.codec import Trace
from imagelane.contracts.notices import NoticeRecorded
from imagelane.notifier.core.attempts import Attempt
from imagelane.platform.tracing import Span, Tracing, Value, Work, named, server_of

POST: Final = Work("post notice", "client")


def attempted(
    tracing: Tracing,
    before: NoticeRecorded,
    attempt: Attempt,
    after: NoticeRecorded,
    seconds: float,
) -> None:
    """Records an attempt, which took so long, if its job's trace is sampled.

    Of the URL only scheme and server: paths are secrets of receivers, too.
    """
    trace = Trace.of_job(before.customer_id, before.job_id)
    if not tracing.samples(trace):
        return
    attributes: dict[str, Value] = {
        **named(before),
        **server_of(before.notify_url or ""),
        "http.request.method": "POST",
        "imagelane.notice_id": before.notice_id,
        "imagelane.about": before.about,
        "imagelane.attempt": after.attempts,
        "imagelane.state": after.state,
    }
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    code = "" if attempt.result == "2xx" else attempt.result
    tracing.record(Span(POST, trace, attributes, seconds=seconds, code=code))
