"""What the four levels promise, as the reference contract says."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from tests.unit.standin.conftest import Images, Start
from tests.waiting import eventually

from imagelane.standin.running import Duration

BODY = {"customer": "acme", "urls": ["http://127.0.0.1/1.jpg"], "reference": "r-1"}
OTHER_BODY = {**BODY, "urls": ["http://127.0.0.1/2.jpg"], "reference": "r-2"}


async def test_a_batch_is_accepted_runs_and_completes(start: Start, images: Images) -> None:
    async with start(fetch=images.options()) as api:
        urls = [images.url("1.jpg"), images.url("2.jpg")]
        status, batch = await api.post({**BODY, "urls": urls})
        assert status == 202
        assert batch["status"] == "active"
        assert (batch["customer"], batch["count"], batch["reference"]) == ("acme", 2, "r-1")
        finished = await api.ended(batch["id"])
        assert finished["status"] == "completed"
        assert finished["finished_at"] > finished["created_at"]
        assert "failed" not in finished


async def test_it_takes_base_seconds_and_a_share_for_each_url(start: Start) -> None:
    began = time.monotonic()
    async with start(duration=Duration(0.1, 0.1)) as api:
        _, batch = await api.post({**BODY, "urls": ["http://127.0.0.1/1.jpg"] * 3})
        await api.ended(batch["id"])
    assert time.monotonic() - began >= 0.4


async def test_level_a_gives_the_first_answer_again_for_the_same_key_and_body(start: Start) -> None:
    async with start(level="A") as api:
        _, first = await api.post(BODY, key="k")
        await api.ended(first["id"])
        assert await api.post(BODY, key="k") == (202, first)
        assert len(api.entries("accepted")) == 1


async def test_level_a_refuses_a_key_that_was_used_with_another_body(start: Start) -> None:
    async with start(level="A") as api:
        await api.post(BODY, key="k")
        status, problem = await api.post(OTHER_BODY, key="k")
        assert (status, problem) == (422, {"error": "the key was used with another body"})


async def test_level_a_answers_409_while_a_request_with_the_key_is_being_handled(
    start: Start,
) -> None:
    async with start(level="A") as api:
        await api.order(delay_request_seconds=0.3)
        first = asyncio.create_task(api.post(BODY, key="k"))
        await eventually(lambda: api.entries("request"))
        status, problem = await api.post(BODY, key="k")
        assert (status, set(problem)) == (409, {"error"})
        assert (await first)[0] == 202


@pytest.mark.parametrize("level", ["A", "B"])
async def test_levels_a_and_b_refuse_a_second_batch_and_show_the_active_one(
    start: Start, level: str
) -> None:
    async with start(level=level) as api:
        await api.order(never_end=True)
        _, active = await api.post(BODY, key="k-1")
        status, problem = await api.post(OTHER_BODY, key="k-2")
        assert status == 409
        assert problem["active"] == active
        assert (await api.post({**OTHER_BODY, "customer": "other"}))[0] == 202


@pytest.mark.parametrize("level", ["B", "C", "D"])
async def test_levels_below_a_ignore_the_key(start: Start, level: str) -> None:
    async with start(level=level) as api:
        _, first = await api.post(BODY, key="k")
        await api.ended(first["id"])
        status, second = await api.post(BODY, key="k")
        assert status == 202
        assert second["id"] != first["id"]


@pytest.mark.parametrize("level", ["C", "D"])
async def test_levels_c_and_d_accept_a_second_batch(start: Start, level: str) -> None:
    async with start(level=level) as api:
        await api.order(never_end=True)
        assert (await api.post(BODY))[0] == 202
        assert (await api.post(OTHER_BODY))[0] == 202


@pytest.mark.parametrize("level", ["A", "B", "C"])
async def test_batches_are_found_by_reference_and_status_newest_first(
    start: Start, level: str
) -> None:
    async with start(level=level) as api:
        _, first = await api.post(BODY)
        await api.ended(first["id"])
        await api.order(never_end=True)
        _, second = await api.post(OTHER_BODY)
        _, listed = await api.get("", customer="acme")
        assert [one["id"] for one in listed["batches"]] == [second["id"], first["id"]]
        _, by_reference = await api.get("", customer="acme", reference="r-1")
        assert [one["id"] for one in by_reference["batches"]] == [first["id"]]
        _, active = await api.get("", customer="acme", status="active")
        assert active == {"batches": [second]}
        assert await api.get("", customer="nobody") == (200, {"batches": []})
        assert (await api.get(""))[0] == 422


async def test_level_d_finds_a_batch_by_its_id_only(start: Start) -> None:
    async with start(level="D") as api:
        _, batch = await api.post(BODY)
        assert (await api.get("", customer="acme"))[0] == 404
        assert (await api.get(f"/{batch['id']}"))[0] == 200
        assert (await api.get("/b-unknown"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {"urls": ["http://127.0.0.1/"]},
        {"customer": "", "urls": ["http://127.0.0.1/"]},
        {"customer": "a" * 256, "urls": ["http://127.0.0.1/"]},
        {"customer": "acme", "urls": []},
        {"customer": "acme", "urls": "http://127.0.0.1/"},
        {"customer": "acme", "urls": ["http://127.0.0.1/"], "reference": "r" * 256},
        {"customer": "acme", "urls": ["http://127.0.0.1/"], "callback_url": "ftp://x/"},
        ["acme"],
    ],
)
async def test_a_body_that_does_not_fit_is_answered_422_and_starts_nothing(
    start: Start, body: object
) -> None:
    async with start() as api:
        status, problem = await api.post(body)
        assert status == 422
        assert problem["error"]
        assert not api.entries("accepted")


async def test_urls_that_are_none_are_named(start: Start) -> None:
    good, bad = "https://127.0.0.1/a?b=c", ["ftp://127.0.0.1/", "/a.jpg", "http://", "http://a b/"]
    async with start() as api:
        status, problem = await api.post({"customer": "acme", "urls": [good, *bad]})
        assert status == 422
        assert [one["url"] for one in problem["invalid"]] == bad


async def test_more_urls_than_the_limit_are_answered_413(start: Start) -> None:
    async with start(max_urls=2) as api:
        urls = ["http://127.0.0.1/"] * 3
        assert (await api.post({"customer": "acme", "urls": urls}))[0] == 413
        assert (await api.post({"customer": "acme", "urls": urls[:2]}))[0] == 202


async def test_callers_need_the_bearer_token_when_there_is_one(start: Start) -> None:
    async with start(token="t-1") as api:
        assert (await api.post(BODY))[0] == 401
        assert (await api.post(BODY, token="t-2"))[0] == 401
        assert (await api.get("", customer="acme"))[0] == 401
        assert (await api.post(BODY, token="t-1"))[0] == 202


async def test_an_idempotency_key_may_not_be_longer_than_255(start: Start) -> None:
    async with start() as api:
        assert (await api.post(BODY, key="k" * 256))[0] == 422


async def test_a_hundred_thousand_urls_are_taken_at_once_and_nobody_waits_for_them(
    start: Start,
) -> None:
    urls = [
        f"http://127.0.0.1:8000/public/default/{'a' * 32}/{n}/image.jpg" for n in range(100_000)
    ]
    async with start(duration=Duration(0.0, 0.0)) as api:
        large = asyncio.create_task(api.post({"customer": "large", "urls": urls}))
        waits = []
        while not large.done():
            asked = time.thread_time()  # of the loop, whatever else runs
            await api.get("/b-unknown")
            waits.append(time.thread_time() - asked)
        status, batch = await large
        assert (status, batch["count"]) == (202, 100_000)
        assert api.entries("accepted")[0]["urls"] == urls
        assert max(waits) < 1.0


async def test_a_caller_that_hangs_up_disturbs_nobody(start: Start) -> None:
    async with start() as api:
        await api.order(delay_answer_seconds=0.2)
        with pytest.raises(TimeoutError):
            await api.session.post(
                f"{api.url}/batches", json=BODY, timeout=aiohttp.ClientTimeout(total=0.05)
            )
        _, listed = await api.get("", customer="acme")
        assert len(listed["batches"]) == 1
