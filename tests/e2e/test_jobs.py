"""Lists of several customers, large and bad ones, from `urls` to `finished`."""

from __future__ import annotations

import asyncio

from tests.e2e.images import Images
from tests.e2e.proof import prove
from tests.e2e.road import ON_THE_ROAD, Road

from imagelane.contracts import topics
from imagelane.contracts.events import JobAccepted

pytestmark = ON_THE_ROAD

MANY = 10_000


async def test_three_customers_with_two_jobs_each_get_what_they_asked_for(
    road: Road, images: Images
) -> None:
    jobs = [
        await road.submit(f"three-{customer}", key=f"list-{number}", urls=images.urls(count))
        for number, count in enumerate((150, 40))
        for customer in "abc"
    ]
    await road.finished(*jobs)
    outcomes = prove(road, *jobs)
    assert sorted(len(one.ok) for one in outcomes.values()) == [40, 40, 40, 150, 150, 150]


async def test_a_list_of_ten_thousand_images_comes_to_its_end(
    road: Road, images: Images, notes: list[str]
) -> None:
    list_url = images.put_list("many.txt.gz", images.urls(MANY), packed=True)
    time = asyncio.get_running_loop().time
    began = time()
    job = await road.submit("many", list_url=list_url, list_format="text")
    await road.finished(job)
    seconds = time() - began
    held = ", ".join(f"{name} {mib:.0f}" for name, mib in road.memory_mib().items())
    notes.append(
        f"{MANY} images in {seconds:.1f} s, {MANY / seconds:.0f}/s; MiB at the end: {held}"
    )
    outcomes = prove(road, job)
    assert len(outcomes[job].ok) == MANY


async def test_the_same_submission_twice_is_one_job(road: Road, images: Images) -> None:
    urls = images.urls(30)
    job = await road.submit("twice", key="order-17", urls=urls)
    await road.submit("twice", key="order-17", urls=urls)
    other = await road.submit("twice", key="order-18", urls=urls[:5])
    await road.finished(job, other)
    await road.submit("twice", key="order-17", urls=urls)
    await road.submit("twice", key="order-17", urls=urls[1:])
    await road.until("the refusal of other content", lambda: road.refusals(job))
    last = await road.submit("twice", key="order-19", urls=urls[:1])  # nothing else is on its way
    await road.finished(last)

    outcomes = prove(road, job, other, last)
    assert [len(one.ok) for one in outcomes.values()] == [30, 5, 1]
    accepted = {one.job_id for one in road.seen(topics.JOBS, job) if isinstance(one, JobAccepted)}
    assert accepted == {one.job_id for one in outcomes.values()}
    (refusal,) = {one.job_id: one for one in road.refusals(job)}.values()
    assert refusal.job_id not in accepted
    assert refusal.idempotency_key == "order-17"
    assert refusal.failure.code == "idempotency_conflict"
    assert "order-17" in refusal.failure.reason


async def test_every_kind_of_bad_line_fails_alone_and_once(road: Road, images: Images) -> None:
    good = images.urls(6)
    page = b"<!DOCTYPE html><title>Sign in</title>"
    lines: list[tuple[str | bytes, str | None]] = [
        (good[0], None),
        ("not a URL", "url_refused"),
        (f"{images.url}/{'long' * 600}.jpg", "url_refused"),
        ("http://10.1.2.3/private.jpg", "unreachable"),
        ("http://[fd00::1]/private.jpg", "unreachable"),
        ("ftp://example.com/old.jpg", "url_refused"),
        (f"{images.url}/nowhere.jpg", "not_found"),
        (images.put("page.html", page), "not_an_image"),
        (images.put("page.jpg", page), "not_an_image"),
        (images.put("cut.jpg", images.tiny()[:-200]), "corrupt"),
        (images.put("empty.jpg", b""), "not_an_image"),
        (good[1].encode() + b"\xff\xfe", "url_refused"),
        (good[2], None),
        (good[2], None),
        ("x" * 100_000, "url_refused"),
        (f"  {good[3]}\r", None),
    ]
    with_blanks = [line for text, _code in lines for line in (text, "", " \t")]
    by_reference = await road.submit("bad", list_url=images.put_list("bad.txt", with_blanks))
    inline = await road.submit("bad", key="inline", urls=["", good[4], {"url": good[5]}, "\u0000"])
    await road.finished(by_reference, inline)

    outcomes = prove(road, by_reference, inline)
    assert outcomes[by_reference].failed == {
        index: code for index, (_, code) in enumerate(lines) if code is not None
    }
    assert outcomes[inline].failed == {0: "url_refused", 3: "url_refused"}
