"""Why something waits: what the API answers, and the sentences that follow from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from imagelane.ops.client.core.answers import (
    Call,
    Counts,
    Image,
    Job,
    Lane,
    Notice,
    Output,
    Refusal,
    Server,
    Step,
    Trail,
)
from imagelane.ops.client.core.explaining import explain
from imagelane.ops.client.core.explanation import Facts
from imagelane.ops.client.core.lane_words import expected_seconds

NOW = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)
AGO = {seconds: NOW - timedelta(seconds=seconds) for seconds in (5, 10, 20, 60, 86_400)}
ID = "a" * 32
JOB = Job(
    job_id=ID,
    customer_id="acme",
    status="running",
    images=1_000,
    counts=Counts(
        requested=1_000, downloaded=500, processed=450, delivered=100, failed=10, ready=330
    ),
    accepted_at=AGO[60],
)
ENDED = replace(JOB, status="finished", counts=Counts(delivered=1_000), finished_at=AGO[60])
OTHER = Job(
    job_id="b" * 32,
    customer_id="acme",
    status="running",
    images=50,
    counts=Counts(requested=50, downloaded=20, processed=20, ready=20),
    accepted_at=AGO[86_400],
)
CALL = Call(seq=7, status="active", images=300, call_id="c-17", attempts=1, started_at=AGO[10])
IDLE = Lane(customer_id="acme", state="idle", last_seq=6, ready=30, open_jobs=1)
ACTIVE = replace(
    IDLE, state="active", last_seq=7, call=CALL, usual_seconds=25.0, usual_images=300.0
)
HELD = replace(
    IDLE,
    state="held",
    call=CALL,
    held_since=AGO[20],
    hold_reason="The API took the call. Ask its owner.",
)
FACTS = Facts(now=NOW, customer_id="acme", job=JOB, lane=ACTIVE)


def image(status: str, index: int = 700, **told: Any) -> Trail:
    step = Step(
        kind="outcome.recorded",
        at=AGO[5],
        service="dispatcher",
        topic="calls",
        partition=0,
        offset=1,
    )
    return Trail(
        image=Image(image_id=f"{ID}:{index}", job_id=ID, index=index, status=status, **told),
        customer_id="acme",
        trace_id="0" * 32,
        steps=[step],
    )


ASKED = Server(
    host="shop.example",
    state="asked_to_wait",
    images_at_a_time=1,
    resumes_at=NOW + timedelta(seconds=150),
    code="rate_limited",
    reason="the server asked for fewer requests, several times",
)
SLOWED = Server(host="shop.example", state="slowed", images_at_a_time=4)
OUTPUT = Output(name="image", url="https://img.example/1.jpg", width=1, height=1, size_bytes=9)
IMAGES: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "one that is done tells its call and results",
        {"trail": image("delivered", call=6, outputs=[OUTPUT])},
        ["call 6 delivered it, 5.0 s ago, with 1 result", "Nothing more happens"],
    ),
    (
        "one that failed tells why",
        {"trail": image("failed", code="not_found", reason="gone")},
        ["failed, 5.0 s ago: gone (not_found)", "Nothing more happens"],
    ),
    ("one that was cancelled", {"trail": image("cancelled")}, ["cancelled", "no call had it"]),
    (
        "one whose turn has not come tells how many are before it, and at which pace",
        {"trail": image("requested", requested_at=AGO[20]), "others": [OTHER]},
        [
            "waits since 20.0 s for its turn",
            "at least 200 images before it",
            "about 24.1 s at the job's pace so far",
            "30 images of the customer's other jobs",
            "other customers are served in between, the API does not tell",
        ],
    ),
    (
        "one that is the first to wait",
        {"trail": image("requested", 500, requested_at=AGO[20]), "server": SLOWED},
        ["It waits since 20.0 s for the downloader, the first of its list that does. Its server"],
    ),
    (
        "one that others have overtaken is not only waiting for its turn",
        {"trail": image("requested", 100)},
        [
            "at least 400 images further down",
            "No downloader says that it spares the image's server",
            "only the downloader's log and metrics tell",
        ],
    ),
    (
        "one whose server is left alone for its 429",
        {"trail": image("requested", 100), "server": ASKED},
        [
            "Its server, shop.example, is left alone until 12:03:00 UTC, as it asked (Retry-After): the server",
            "several times (rate_limited); then it gets 1 image at a time.",
        ],
    ),
    (
        "one whose server has asked for a pause that has just ended",
        {"trail": image("requested", 100), "server": replace(ASKED, resumes_at=AGO[5])},
        ["has asked to be left alone (Retry-After): the server", "; it gets 1 image at a time."],
    ),
    (
        "one whose server only fails, while its turn has not come either",
        {"trail": image("requested", 700), "server": replace(ASKED, state="failing")},
        ["200 images before it", "has failed round after round", "the next at 12:03:00 UTC"],
    ),
    (
        "one whose server gets fewer images at a time",
        {"trail": image("requested", 100), "server": SLOWED},
        ["gets only 4 images at a time, since it takes longer to answer than before."],
    ),
    (
        "one whose server has failed, and has a rate",
        {
            "trail": image("requested", 100),
            "server": replace(
                SLOWED, code="timeout", reason="took too long", requests_per_second=2.5
            ),
        },
        [
            "since it failed or took longer to answer than before: took too long (timeout).",
            "It never gets more than 2.5 requests a second, by a setting.",
        ],
    ),
    (
        "one whose server has a rate",
        {
            "trail": image("requested", 100),
            "server": replace(SLOWED, state="rated", requests_per_second=1.0),
        },
        ["Its server, shop.example, gets at most 1 request a second, by a setting."],
    ),
    (
        "one whose server is in a state of a newer downloader's",
        {"trail": image("requested", 100), "server": replace(SLOWED, state="asleep")},
        ["Its server, shop.example, is asleep."],
    ),
    (
        "one that waits for the processor",
        {"trail": image("downloaded")},
        ["waits for the processor, as 50 images of its job do (itself among them), about 6.7 s"],
    ),
    (
        "one that could not be made",
        {"trail": image("processed", code="corrupt", reason="the image is damaged")},
        ["could not be made: the image is damaged (corrupt)", "recorded as failed"],
    ),
    (
        "one that is ready while a call runs tells until about when",
        {"trail": image("processed"), "others": [OTHER]},
        [
            "waits for the customer's next call, as 30 images of the customer do",
            "busy with call 7 with 300 images (c-17 at the batch API), which began 10.0 s ago",
            "ends at about 12:00:45 UTC",
            "Older jobs of the customer go first where a call is limited; they have 20 images ready",
            "the next call takes everything that is ready by then",
        ],
    ),
    (
        "one that is ready while no call runs",
        {"trail": image("processed"), "lane": IDLE},
        ["No call of this customer is under way", "(100 unless it was changed)"],
    ),
    (
        "one that is ready while the lane is held tells why and what a person can do",
        {"trail": image("processed"), "lane": HELD},
        [
            "held at call 7 with 300 images since 12:00:10 UTC: The API took the call. Ask its owner.",
            "`imagelane lanes release acme`",
        ],
    ),
    (
        "one in the call",
        {"trail": image("in_call")},
        ["in the call that is under way", "busy with call 7"],
    ),
    (
        "one whose job is being cancelled",
        {"trail": image("processed"), "job": replace(JOB, cancel_asked_at=AGO[5])},
        ["being cancelled", "no call will have it"],
    ),
    (
        "one in a call whose job is being cancelled",
        {"trail": image("in_call"), "job": replace(JOB, cancel_asked_at=AGO[5])},
        ["a cancel does not stop it"],
    ),
    (
        "one that nobody knows yet",
        {"image_id": f"{ID}:1999", "job": replace(JOB, status="accepted", images=2_000)},
        [
            "has requested 1,000 of 2,000 images of its job so far",
            "not come to this one",
        ],
    ),
    (
        "one after the deadline",
        {"trail": image("requested"), "job": replace(JOB, cut_short_by="deadline")},
        ["passed its deadline", "recorded as cancelled"],
    ),
]
JOBS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "a job that nobody has read yet",
        {"job": replace(JOB, status="submitted", images=None, counts=Counts())},
        ["Kafka has the submission", "only intake's log tells"],
    ),
    (
        "a job whose first waiting image waits for its server",
        {"server": SLOWED},
        ["The server of the first image that waits for the downloader, shop.example, gets only 4"],
    ),
    (
        "a refused job",
        {
            "job": replace(
                JOB, status="refused", refusal=Refusal(code="list_empty", reason="no lines")
            )
        },
        ["refused: no lines (list_empty)", "key is free again"],
    ),
    (
        "a job whose list is being read",
        {"job": replace(JOB, status="accepted", images=2_000)},
        ["1,000 of 2,000 images so far", "1,000 to be requested", "busy with call 7"],
    ),
    (
        "a job of an event that does not tell how many images there are",
        {"job": replace(JOB, status="accepted", images=None)},
        ["1,000 images so far", "Of 1,000 images"],
    ),
    (
        "a running job tells what waits where",
        {"others": [OTHER]},
        [
            "Of 1,000 images, 110 are settled; waiting are 500 for the downloader, 50 for the processor,",
            "330 for a call or the end of one, 10 for their failure or cancellation to be recorded.",
            "busy with call 7",
            "1 other open job in the same lane",
        ],
    ),
    (
        "a deadline",
        {"job": replace(JOB, deadline=NOW + timedelta(days=1))},
        ["deadline is 2026-11-22 12:00:30 UTC"],
    ),
    (
        "a finished job that was cut short",
        {
            "job": replace(
                JOB,
                status="finished",
                counts=Counts(delivered=998, failed=1, cancelled=1),
                cut_short_by="cancel",
                finished_at=AGO[60],
            )
        },
        [
            "ended 1.0 min ago: of 1,000 images, 998 delivered, 1 failed, 1 cancelled. A cancel cut it short."
        ],
    ),
    (
        "a finished job whose notify_url does not answer",
        {"job": replace(ENDED, notice=Notice(state="pending", attempts=3, next_at=AGO[5]))},
        [
            "not taken the news yet (3 attempts, the last without an answer)",
            "again at 12:00:25 UTC",
        ],
    ),
    (
        "a finished job whose notify_url was given up",
        {"job": replace(ENDED, notice=Notice(state="given_up", attempts=9, last_result="5xx"))},
        ["given up after 9 attempts, the last 5xx"],
    ),
    (
        "a finished job whose notify_url has heard of it",
        {"job": replace(ENDED, notice=Notice(state="delivered", attempts=1))},
        ["Its notify_url has been told"],
    ),
    (
        "a word of another version",
        {"job": replace(JOB, status="frozen")},
        ["frozen", "does not know that word"],
    ),
    ("a tracker that is behind", {"behind": 5_000}, ["5,000 records to read yet"]),
]
CUSTOMERS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "one whose lane stands still with all others",
        {"lane": replace(ACTIVE, stands_still="processed has 16 partitions."), "others": [JOB]},
        ["No lane sends anything, this one included: processed has 16 partitions. The lane is"],
    ),
    ("one without anything", {"lane": IDLE}, ["no open job", "until a list is handed in"]),
    (
        "one without a call so far",
        {"lane": None, "others": [OTHER]},
        ["No call of this customer", "1 job is open; waiting are 30 images for the downloader"],
    ),
    (
        "one whose first image waits for its server",
        {"others": [OTHER], "server": SLOWED},
        ["The server of the first image that waits for the downloader, shop.example, gets only 4"],
    ),
    (
        "one with two jobs",
        {"others": [JOB, OTHER]},
        [
            "busy with call 7",
            "2 jobs are open",
            "530 images for the downloader",
            "30 images for the next call",
        ],
    ),
    (
        "one whose call was never answered",
        {
            "lane": replace(ACTIVE, state="submitting", call=replace(CALL, attempts=3)),
            "others": [JOB],
        },
        ["has not said yet that it has it, after 3 attempts"],
    ),
    (
        "one whose call is planned",
        {"lane": replace(ACTIVE, state="planned"), "others": [JOB]},
        ["Call 7 with 300 images is planned and about to be sent"],
    ),
    (
        "one whose call takes far too long",
        {"lane": replace(ACTIVE, overdue_since=AGO[5]), "others": [JOB]},
        ["far longer than this customer's calls usually do"],
    ),
    (
        "one whose call is a little late",
        {"lane": replace(ACTIVE, usual_seconds=5.0), "others": [JOB]},
        ["should have ended at about 12:00:25 UTC"],
    ),
    (
        "one whose first call runs",
        {"lane": replace(ACTIVE, usual_seconds=None, usual_images=None), "others": [JOB]},
        ["how long it takes nobody can tell yet"],
    ),
]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        pytest.param({"job": JOB, "lane": ACTIVE} | facts, words, id=f"{of}: {name}")
        for of, cases in (("image", IMAGES), ("job", JOBS))
        for name, facts, words in cases
    ]
    + [
        pytest.param({"lane": ACTIVE} | facts, words, id=f"customer: {name}")
        for name, facts, words in CUSTOMERS
    ],
)
def test_the_paragraph_says_why_and_what_comes_next(
    facts: dict[str, Any], words: list[str]
) -> None:
    told = explain(Facts(now=NOW, customer_id="acme", **facts))
    for part in words:
        assert part in told.paragraph
    assert told.state
    assert told.paragraph.endswith(".")
    assert ".." not in told.paragraph
    assert "None" not in told.paragraph


def test_what_it_is_about_is_named() -> None:
    assert explain(replace(FACTS, trail=image("in_call"))).subject == f"image {ID}:700"
    assert explain(FACTS).subject == f"job {ID}"
    assert explain(replace(FACTS, job=None)).subject == "customer acme"


def test_a_call_is_judged_by_those_of_other_sizes() -> None:
    ended = [
        Call(
            seq=seq,
            status="completed",
            images=size,
            started_at=AGO[86_400],
            ended_at=AGO[86_400] + timedelta(seconds=2 + size / 100),
        )
        for seq, size in ((1, 100), (2, 200), (3, 800))
    ]
    lane = replace(ACTIVE, calls=[*ended, CALL])
    assert expected_seconds(lane, replace(CALL, images=3_000)) == pytest.approx(32)
    same = [replace(one, images=300) for one in ended]
    assert expected_seconds(replace(ACTIVE, calls=same), CALL) == pytest.approx((3 + 4 + 10) / 3)
    assert expected_seconds(replace(ACTIVE, calls=ended[:2]), replace(CALL, images=600)) == 50
    assert expected_seconds(replace(ACTIVE, calls=ended[:2]), replace(CALL, images=30)) == 25
