"""Faults that a test can order, and what the stand-in makes of images that it cannot read."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from tests.unit.standin.conftest import JPEG, Images, Start
from tests.waiting import eventually

from imagelane.standin.api import check_loopback
from imagelane.standin.faults import Faults
from imagelane.standin.fetching import FetchMode

BODY = {"customer": "acme", "urls": ["http://127.0.0.1/1.jpg"], "reference": "r-1"}


async def test_an_answer_can_be_dropped_after_the_batch_was_accepted(start: Start) -> None:
    async with start(faults=Faults(drop_answers_times=1)) as api:
        with pytest.raises(aiohttp.ClientError):
            await api.post(BODY, key="k")
        assert [one["status"] for one in api.entries("answer")] == [0]
        status, batch = await api.post(BODY, key="k")
        assert status == 202
        assert [one["batch"] for one in api.entries("accepted")] == [batch["id"]]


async def test_an_answer_can_be_empty(start: Start) -> None:
    async with (
        start(faults=Faults(empty_answers_times=1)) as api,
        api.session.post(f"{api.url}/batches", json=BODY) as answer,
    ):
        assert (answer.status, await answer.read()) == (202, b"")
        assert len(api.entries("accepted")) == 1


@pytest.mark.parametrize(("status", "retry_after"), [(429, "7"), (503, "0"), (500, None)])
async def test_posts_can_be_refused_a_number_of_times(
    start: Start, status: int, retry_after: str | None
) -> None:
    async with start() as api:
        await api.order(refuse_times=2, refuse_status=status, refuse_retry_after=retry_after)
        for _ in range(2):
            async with api.session.post(f"{api.url}/batches", json=BODY) as answer:
                assert answer.status == status
                assert answer.headers.get("Retry-After") == retry_after
        assert not api.entries("accepted")
        assert (await api.post(BODY))[0] == 202


async def test_gets_can_be_refused_too(start: Start) -> None:
    async with start() as api:
        _, batch = await api.post(BODY)
        await api.order(refuse_gets_times=2)
        assert (await api.get(f"/{batch['id']}"))[0] == 503
        assert (await api.get("", customer="acme"))[0] == 503
        assert (await api.get(f"/{batch['id']}"))[0] == 200


async def test_an_answer_can_come_late(start: Start) -> None:
    async with start() as api:
        await api.order(delay_answer_seconds=0.2)
        asked = time.monotonic()
        posting = asyncio.create_task(api.post(BODY))
        await eventually(lambda: api.entries("accepted"))
        await posting
        assert time.monotonic() - asked >= 0.2


async def test_a_late_request_is_accepted_even_when_its_caller_has_gone(start: Start) -> None:
    async with start() as api:
        await api.order(delay_request_seconds=0.2)
        with pytest.raises(TimeoutError):
            await api.session.post(
                f"{api.url}/batches", json=BODY, timeout=aiohttp.ClientTimeout(total=0.05)
            )
        assert not api.entries("accepted")
        await eventually(lambda: api.entries("accepted"))


async def test_a_batch_can_be_kept_from_ending(start: Start) -> None:
    async with start() as api:
        await api.order(never_end=True)
        _, batch = await api.post(BODY)
        await asyncio.sleep(0.1)
        assert (await api.get(f"/{batch['id']}"))[1]["status"] == "active"
        await api.order(never_end=False)
        assert (await api.ended(batch["id"]))["status"] == "completed"


async def test_chosen_urls_fail_and_make_the_batch_partial(start: Start) -> None:
    async with start() as api:
        await api.order(fail_urls=[r"/2\.jpg$"])
        urls = ["http://127.0.0.1/1.jpg", "http://127.0.0.1/2.jpg"]
        _, batch = await api.post({"customer": "acme", "urls": urls})
        ended = await api.ended(batch["id"])
        assert ended["status"] == "partial"
        assert [one["url"] for one in ended["failed"]] == urls[1:]


async def test_a_whole_batch_can_fail(start: Start) -> None:
    async with start() as api:
        await api.order(fail_batches_times=1)
        _, batch = await api.post(BODY)
        assert (await api.ended(batch["id"]))["status"] == "failed"
        _, batch = await api.post(BODY)
        assert (await api.ended(batch["id"]))["status"] == "completed"


async def test_chosen_urls_are_refused_as_invalid(start: Start) -> None:
    async with start() as api:
        await api.order(refuse_urls=["/1"])
        status, problem = await api.post(BODY)
        assert (status, [one["url"] for one in problem["invalid"]]) == (422, BODY["urls"])


async def test_a_batch_can_show_an_unknown_status_or_vanish(start: Start) -> None:
    async with start() as api:
        _, batch = await api.post(BODY)
        await api.order(status_word="foo")
        assert (await api.get(f"/{batch['id']}"))[1]["status"] == "foo"
        await api.order(status_word=None, forget=True)
        assert (await api.get(f"/{batch['id']}"))[0] == 404
        assert (await api.get("", customer="acme"))[1] == {"batches": []}


async def test_a_fault_that_there_is_not_is_refused_and_changes_nothing(start: Start) -> None:
    async with start() as api:
        await api.order(never_end=True)
        for wrong in ({"drop": 1}, {"refuse_status": 200}, {"fail_urls": ["("]}, [1]):
            async with api.session.post(api.control_url, json=wrong) as answer:
                assert answer.status == 422, wrong
                assert (await answer.json())["error"]
        async with api.session.get(api.control_url) as answer:
            shown = await answer.json()
        assert shown["never_end"] is True
        assert shown["fail_urls"] == []


@pytest.mark.parametrize("mode", ["get", "head"])
async def test_what_is_no_readable_jpeg_fails(
    start: Start, images: Images, mode: FetchMode
) -> None:
    good, empty = images.url("good.jpg"), images.url("empty.jpg", b"")
    missing = f"{images.origin}/missing.jpg"
    async with start(fetch=images.options(mode)) as api:
        _, batch = await api.post({"customer": "acme", "urls": [good, missing, empty]})
        ended = await api.ended(batch["id"])
        reasons = {one["url"]: one["reason"] for one in ended["failed"]}
        assert reasons == {missing: "status 404", empty: "the body is empty"}
        [finished] = api.entries("finished")
        assert [(one["place"], one["cause"]) for one in finished["failed"]] == [
            (1, "fetch"),
            (2, "fetch"),
        ]


async def test_html_is_no_jpeg_whatever_its_content_type_says(start: Start, images: Images) -> None:
    url = images.url("page.jpg", b"<html>")
    async with start(fetch=images.options()) as api:
        _, batch = await api.post({"customer": "acme", "urls": [url]})
        ended = await api.ended(batch["id"])
        assert ended["failed"] == [{"url": url, "reason": "the body is no JPEG"}]


async def test_every_url_is_read_and_its_bytes_are_counted(start: Start, images: Images) -> None:
    urls = [images.url(f"{number}.jpg") for number in range(40)]
    async with start(fetch=images.options()) as api:
        _, batch = await api.post({"customer": "acme", "urls": urls})
        await api.ended(batch["id"])
        assert sorted(images.requests) == sorted(url[len(images.origin) :] for url in urls)
        assert api.entries("finished")[0]["bytes"] == 40 * len(JPEG)


async def test_a_server_that_is_away_for_a_moment_is_asked_again(
    start: Start, images: Images
) -> None:
    url = images.url("1.jpg")
    images.away_times = 1
    async with start(fetch=images.options()) as api:
        _, batch = await api.post({"customer": "acme", "urls": [url]})
        assert (await api.ended(batch["id"]))["status"] == "completed"


async def test_a_server_that_stays_away_fails_its_items(start: Start, images: Images) -> None:
    async with start(fetch=images.options()) as api:
        _, batch = await api.post({"customer": "acme", "urls": ["http://127.0.0.1:1/x.jpg"]})
        ended = await api.ended(batch["id"])
        assert ended["status"] == "failed"
        assert "Connect" in ended["failed"][0]["reason"]


async def test_odd_host_names_fail_their_item_and_nothing_else(
    start: Start, images: Images
) -> None:
    odd = ["http://a..b/", "http://[v1.fe]/", "http://127.0.0.1:99999/"]
    async with start(fetch=images.options()) as api:
        _, batch = await api.post({"customer": "acme", "urls": [*odd, images.url("1.jpg")]})
        ended = await api.ended(batch["id"])
        assert [one["url"] for one in ended["failed"]] == odd
        assert not api.failed.done()


async def test_the_control_is_for_this_machine_only() -> None:
    request = make_mocked_request("GET", "/control/faults")
    with pytest.raises(web.HTTPForbidden):
        check_loopback(request.clone(remote="203.0.113.9"))
    check_loopback(request.clone(remote="127.0.0.1"))
