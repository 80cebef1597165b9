"""Looking: what the tracker tells comes out whole, and every parameter that is wrong is named."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from tests.unit.gateway import described
from tests.unit.gateway.conftest import Gateway, Start
from tests.unit.gateway.tracked import result

from imagelane.contracts.commands import CancelJob, DeleteJob, ReleaseLane
from imagelane.gateway.core.results_text import COLUMNS
from imagelane.tracking.database import DatabaseError
from imagelane.tracking.views import CallStatus

JOB = "a" * 32


async def json_of(gateway: Gateway, path: str, **more: Any) -> Any:
    answer = await gateway.ask("GET", path, **more)
    assert answer.status == 200, answer.body
    return answer.json


async def test_a_job_is_told_with_its_failures_and_its_places(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        job = await json_of(gateway, f"/v1/jobs/{JOB}")
    assert (job["status"], job["images"], job["counts"]["downloaded"]) == ("running", 2, 1)
    assert job["failures"] == [{"code": "not_found", "reason": "gone", "images": 1}]
    assert job["links"]["results"] == f"/v1/jobs/{JOB}/results"


async def test_a_job_is_there_as_soon_as_it_was_handed_in(start: Start) -> None:
    async with start() as gateway:
        other = gateway.keys.token("umbra", "read")
        answer = await gateway.ask("POST", "/v1/jobs", json={"urls": ["https://a.example/1"]})
        path = answer.json["links"]["self"]
        assert (await json_of(gateway, path))["status"] == "submitted"
        assert (await gateway.ask("GET", path, token=other)).status == 404
        gateway.tracker.jobs.put(answer.json["job_id"], "acme", status="accepted")
        assert (await json_of(gateway, path))["status"] == "accepted"


async def test_jobs_come_in_pages(start: Start) -> None:
    async with start() as gateway:
        for letter in "abc":
            gateway.tracker.jobs.put(letter * 32, "acme")
        first = await json_of(gateway, "/v1/jobs?limit=2")
        second = await json_of(gateway, f"/v1/jobs?limit=2&cursor={first['next_cursor']}")
    assert [job["job_id"][0] for job in first["items"] + second["items"]] == ["c", "b", "a"]
    assert second["next_cursor"] is None


async def test_an_operator_may_choose_a_customer_and_nobody_else(start: Start) -> None:
    async with start() as gateway:
        operator = gateway.keys.token(None, "operate")
        gateway.tracker.jobs.put("a" * 32, "acme")
        gateway.tracker.jobs.put("b" * 32, "umbra")
        found = await json_of(gateway, "/v1/jobs?customer_id=umbra", token=operator)
        assert [job["customer_id"] for job in found["items"]] == ["umbra"]
        answer = await gateway.ask("GET", "/v1/jobs?customer_id=umbra")
        assert (answer.status, answer.json["field"]) == (422, "customer_id")
        own = await json_of(gateway, "/v1/jobs?customer_id=acme")
        assert [job["customer_id"] for job in own["items"]] == ["acme"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=1001", "limit"),
        ("/v1/jobs?limit=many", "limit"),
        ("/v1/jobs?limit=1&limit=2", "limit"),
        ("/v1/jobs?status=done", "status"),
        ("/v1/jobs?cursor=x", "cursor"),
        ("/v1/jobs?page=2", "page"),
        (f"/v1/jobs/{JOB}/images?status=done", "status"),
        (f"/v1/jobs/{JOB}/images?code=A%20b", "code"),
        (f"/v1/jobs/{JOB}/images?text=", "text"),
        (f"/v1/jobs/{JOB}/images?cursor=x", "cursor"),
        (f"/v1/jobs/{JOB}/results?format=xls", "format"),
        ("/v1/lanes?state=asleep", "state"),
        ("/v1/lanes/acme/calls?limit=-1", "limit"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(start: Start, path: str, field: str) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        gateway.tracker.jobs.put_lane("acme")
        answer = await gateway.ask("GET", path)
    assert (answer.status, answer.json["field"]) == (422, field)


async def test_a_word_that_is_none_of_those_that_may_be_is_told_with_them(start: Start) -> None:
    async with start() as gateway:
        answer = await gateway.ask("GET", "/v1/jobs?status=done")
    words = "accepted, finished, refused, running"
    assert answer.json["detail"] == f"Invalid enum value 'done': it is one of {words}"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/x",
        f"/v1/jobs/{JOB.upper()}",
        f"/v1/jobs/{JOB}'--",
        f"/v1/images/{JOB}",
        f"/v1/images/{JOB}:01",
        f"/v1/images/{JOB}:-1",
        f"/v1/images/{JOB}:99999999999",
        f"/v1/images/{JOB}:5",
        "/v1/lanes/acme",
    ],
)
async def test_ids_that_can_be_none_are_not_there(start: Start, path: str) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        assert (await gateway.ask("GET", path)).status == 404


@pytest.mark.parametrize("customer", ["Müller & Söhne", "a/b", "..", "50 %"])
async def test_a_lane_is_found_by_any_customers_name(start: Start, customer: str) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put_lane(customer)
        token = gateway.keys.token(customer, "read")
        url = f"{gateway.url}/v1/lanes/{quote(customer, safe='').replace('.', '%2E')}"
        async with gateway.session.get(
            described.exactly(url), headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert answer.status == 200, await answer.text()
            assert (await answer.json())["customer_id"] == customer


async def test_a_lane_says_that_all_of_them_stand_still_and_topics_only_to_operators(
    start: Start,
) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put_lane("acme")
        operator = gateway.keys.token(None, "operate")

        async def told(token: str) -> list[str | None]:
            page = await gateway.ask("GET", "/v1/lanes", token=token)
            lane = await gateway.ask("GET", "/v1/lanes/acme", token=token)
            return [page.json["items"][0]["stands_still"], lane.json["stands_still"]]

        assert await told(operator) == [None, None]
        gateway.topics.difference = "processed has 16 partitions instead of 12"
        assert await told(operator) == ["processed has 16 partitions instead of 12"] * 2
        assert (
            await told(gateway.token)
            == ["the service stands still until its operators have acted"] * 2
        )


async def test_without_the_trackers_database_looking_is_unavailable(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.is_there = False
        for path in ("/v1/jobs", f"/v1/jobs/{JOB}", f"/v1/jobs/{JOB}/results", "/v1/events"):
            answer = await gateway.ask("GET", path)
            assert answer.status == 503
            assert answer.json["type"] == "urn:imagelane:problem:status-unavailable"


async def test_what_nobody_expected_is_told_without_its_reasons(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(**_wanted: Any) -> None:
        raise RuntimeError("at 10.0.0.7:5432")

    async with start() as gateway:
        monkeypatch.setattr(gateway.tracker.jobs, "failures", broken)
        async with gateway.session.get(
            f"{gateway.url}/v1/failures", headers={"Authorization": f"Bearer {gateway.token}"}
        ) as answer:
            assert answer.status == 500
            assert b"10.0.0.7" not in await answer.read()


# Results


async def test_results_come_line_by_line(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        gateway.tracker.jobs.results_of[JOB] = [result(index) for index in range(2_500)]
        answer = await gateway.ask("GET", f"/v1/jobs/{JOB}/results")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["index"] for line in lines] == list(range(2_500))
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{JOB}.ndjson"'


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", "*/*", "application/x-ndjson"),
        ("", "text/csv", "text/csv"),
        ("", "text/csv, application/json;q=0.5", "text/csv"),
        ("", "application/x-ndjson, text/csv", "application/x-ndjson"),
        ("?format=csv", "application/json", "text/csv"),
        ("?format=ndjson", "text/csv", "application/x-ndjson"),
    ],
)
async def test_their_form_is_chosen(start: Start, query: str, accept: str, expected: str) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        path = f"/v1/jobs/{JOB}/results{query}"
        answer = await gateway.ask("GET", path, headers={"Accept": accept})
    assert answer.headers["Content-Type"].partition(";")[0] == expected


async def test_a_table_has_no_formulas_and_a_line_for_each_url(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        gateway.tracker.jobs.results_of[JOB] = [
            result(0, results=["https://i.example/a", "https://i.example/b"]),
            result(1, url='=HYPERLINK("x")', results=[], status="failed", code="url_refused"),
            result(2, group="+1", url='@"a",\n"b"', position=4),
            result(3, group="-1\r", url=None),
        ]
        answer = await gateway.ask("GET", f"/v1/jobs/{JOB}/results?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["index"] for row in rows] == ["0", "0", "1", "2", "3"]
    assert rows[2]["url"] == '\'=HYPERLINK("x")'
    assert (rows[3]["group"], rows[3]["url"], rows[3]["position"]) == (
        "'+1",
        '\'@"a",\n"b"',
        "4",
    )
    assert not any(cell.startswith(tuple("=+-@")) for row in rows for cell in row.values())


async def test_results_that_break_off_are_not_taken_for_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_job: Any, **_wanted: Any) -> Any:
        yield [result(0)]
        raise DatabaseError("it is gone")

    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        monkeypatch.setattr(gateway.tracker.jobs, "results", broken)
        with pytest.raises(aiohttp.ClientPayloadError):
            await gateway.ask("GET", f"/v1/jobs/{JOB}/results")


async def test_only_the_head_of_results_can_be_asked_for(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        answer = await gateway.ask("HEAD", f"/v1/jobs/{JOB}/results")
        assert (answer.status, answer.body) == (200, b"")


# Deciding


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("POST", "/cancel", CancelJob), ("DELETE", "", DeleteJob)],
)
async def test_a_decision_about_a_job_is_in_kafka_with_who_decided(
    start: Start, method: str, path: str, kind: type
) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        answer = await gateway.ask(method, f"/v1/jobs/{JOB}{path}")
        [command] = gateway.kafka.sent
    assert answer.status == 202
    assert isinstance(command, kind)
    assert answer.json["decided_by"].startswith("key ")
    assert answer.json["decided_by"].endswith("(test 1)")


async def test_an_operators_decision_is_about_the_jobs_own_customer(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        operator = gateway.keys.token(None, "operate")
        assert (await gateway.ask("POST", f"/v1/jobs/{JOB}/cancel", token=operator)).status == 202
        assert gateway.kafka.sent[0].customer_id == "acme"


async def test_a_job_that_was_handed_in_a_moment_ago_can_be_cancelled(start: Start) -> None:
    async with start() as gateway:
        job = (await gateway.ask("POST", "/v1/jobs", json={"urls": ["https://a.example/1"]})).json
        assert (await gateway.ask("POST", job["links"]["cancel"])).status == 202
        assert gateway.kafka.sent[1].job_id == job["job_id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "expected"),
    [
        ("POST", "/cancel", "finished", 409),
        ("POST", "/cancel", "refused", 409),
        ("DELETE", "", "refused", 409),
        ("DELETE", "", "finished", 202),
    ],
)
async def test_what_is_over_is_not_decided_again(
    start: Start, method: str, path: str, status: str, expected: int
) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme", status=status)
        assert (await gateway.ask(method, f"/v1/jobs/{JOB}{path}")).status == expected


async def test_without_kafka_a_decision_is_not_taken(start: Start) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        gateway.kafka.mood = "refuses"
        assert (await gateway.ask("POST", f"/v1/jobs/{JOB}/cancel")).status == 503


HELD = CallStatus(customer_id="acme", seq=7, status="held", images=1, jobs=[])


async def test_a_held_lane_is_released_at_its_call(start: Start) -> None:
    said = {"seq": 7, "decision": "treat_as_done", "note": "seen in the API's own list"}
    async with start() as gateway:
        operator = gateway.keys.token(None, "operate")
        gateway.tracker.jobs.put_lane("acme", state="held", call=HELD)
        answer = await gateway.ask("POST", "/v1/lanes/acme/release", json=said, token=operator)
        [command] = gateway.kafka.sent
    assert (answer.status, answer.json["seq"]) == (202, 7)
    assert isinstance(command, ReleaseLane)
    assert (command.seq, command.decision, command.note) == tuple(said.values())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"seq": 6, "decision": "retry"}, (409, "seq")),
        ({"seq": 7, "decision": "forget"}, (422, "decision")),
        ({"seq": 0, "decision": "retry"}, (422, "seq")),
        ({"decision": "retry"}, (422, "seq")),
        ({"seq": 7, "decision": "retry", "note": "x" * 2_001}, (422, "note")),
        ({"seq": 7, "decision": "retry", "who": "me"}, (422, "who")),
    ],
)
async def test_a_release_that_does_not_fit_is_named(
    start: Start, said: dict[str, Any], expected: tuple[int, str]
) -> None:
    async with start() as gateway:
        operator = gateway.keys.token(None, "operate")
        gateway.tracker.jobs.put_lane("acme", state="held", call=HELD)
        answer = await gateway.ask("POST", "/v1/lanes/acme/release", json=said, token=operator)
        assert (answer.status, answer.json["field"]) == expected
        assert gateway.kafka.sent == []


async def test_only_a_held_lane_is_released(start: Start) -> None:
    said = {"seq": 7, "decision": "retry"}
    async with start() as gateway:
        operator = gateway.keys.token(None, "operate")
        path = "/v1/lanes/acme/release"
        assert (await gateway.ask("POST", path, json=said, token=operator)).status == 404
        gateway.tracker.jobs.put_lane("acme", state="active")
        assert (await gateway.ask("POST", path, json=said, token=operator)).status == 409
        huge = {"seq": 7, "decision": "retry", "note": "x" * 100_000}
        assert (await gateway.ask("POST", path, json=huge, token=operator)).status == 413
