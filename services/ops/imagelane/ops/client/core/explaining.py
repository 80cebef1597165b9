"""Why an image, a job or a customer waits, and what happens next, as far as the API's answers tell.

`explain` is a pure function: answers in, sentences out. What is not known is said, not guessed.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from imagelane.ops.client.core.explaining_image import explain_image, explain_unknown
from imagelane.ops.client.core.explaining_job import explain_job
from imagelane.ops.client.core.explanation import Explanation, Facts
from imagelane.ops.client.core.lane_words import images, lane_goes_on, lane_says
from imagelane.ops.client.core.server_words import FIRST_WAITING, server_says

MUCH_BEHIND: Final = 1_000


def explain(facts: Facts) -> Explanation:
    """The image's, if there is a trail, else the job's, if there is a job, else the customer's."""
    if facts.job is None:
        told = _explain_customer(facts)
    elif facts.image_id is not None:
        told = explain_unknown(facts.image_id, facts.job)
    elif facts.trail is None:
        told = explain_job(facts.job, facts)
    else:
        told = explain_image(facts.trail, facts.job, facts)
    if facts.behind <= MUCH_BEHIND:
        return told
    late = f"The tracker has {facts.behind:,} records to read yet, so all this may be older than it looks."
    return replace(told, not_known=f"{told.not_known} {late}".lstrip())


def _explain_customer(facts: Facts) -> Explanation:
    lane = facts.lane
    return Explanation(
        subject=f"customer {facts.customer_id}",
        state="idle" if lane is None else lane.state,
        why=" ".join([lane_says(lane, facts.now), *_waiting(facts), *_spared(facts)]),
        next=lane_goes_on(lane) if facts.others else "Nothing happens until a list is handed in.",
    )


def _spared(facts: Facts) -> list[str]:
    if facts.server is None:
        return []
    return [server_says(FIRST_WAITING, facts.server, facts.now)]


def _waiting(facts: Facts) -> list[str]:
    if not facts.others:
        return ["There is no open job."]
    counts = [job.counts for job in facts.others]
    waits = (
        ("for the downloader", sum(one.requested - one.downloaded for one in counts)),
        ("for the processor", sum(one.downloaded - one.processed for one in counts)),
        ("for the next call", 0 if facts.lane is None else facts.lane.ready),
    )
    told = [f"{images(count)} {what}" for what, count in waits if count > 0]
    jobs = "1 job is open" if len(facts.others) == 1 else f"{len(facts.others)} jobs are open"
    return [f"{jobs}; waiting are {', '.join(told)}." if told else f"{jobs}, and no image waits."]
