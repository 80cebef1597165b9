"""Commands over HTTP: what goes out, what is printed, and the sentence and exit code for all that goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.ops.conftest import FakeGateway, Told, events, problem
from typer.testing import CliRunner, Result

from imagelane.ops.cli import COMMANDS, app
from imagelane.ops.client.gateway import retry_after

ID = "a" * 32
JOBS = "/v1/jobs"
JOB = f"{JOBS}/{ID}"
LIST = b"http://shop.example/1.jpg\nhttp://shop.example/2.jpg\n"


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def job(change: int = 1, status: str = "running", **counts: int) -> dict[str, Any]:
    return {
        "job_id": ID,
        "customer_id": "acme",
        "status": status,
        "images": 2,
        "counts": {"requested": 2, **counts},
        "change": change,
        "failures": [],
        "new_field": "of another version",
    }


@pytest.fixture
def taken(fake: FakeGateway) -> dict[str, Any]:
    answer = {"job_id": ID, "customer_id": "acme", "idempotency_key": "k", "status": "submitted"}
    fake.json(JOBS, answer, status=202)
    return answer


@pytest.mark.parametrize("as_stdin", [True, False])
def test_a_list_is_sent_as_it_is_with_what_is_wanted(
    fake: FakeGateway, taken: dict[str, Any], tmp_path: Path, as_stdin: bool
) -> None:
    (tmp_path / "list.CSV.gz").write_bytes(LIST)
    source = "-" if as_stdin else "list.CSV.gz"
    wanted = ("--customer", "acme & co", "--recipe", "r", "--deadline", "2026-12-24T18:00:00Z")
    result = run("submit", source, *wanted, "--idempotency-key", "order 7", "--json", stdin=LIST)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == taken
    assert f"imagelane status {ID} --wait" in result.stderr
    (asked,) = fake.asked
    assert (asked.method, asked.body) == ("POST", LIST)
    assert asked.headers["Authorization"] == "Bearer il_abc_secret"
    assert asked.headers["Idempotency-Key"] == "order 7"
    for part in ("customer_id=acme+%26+co", "recipe=r", "deadline=2026-12-24T18:00:00Z"):
        assert part in asked.target
    assert ("list_format=csv" in asked.target) is not as_stdin


def test_a_pipe_without_an_end_does_not_fill_the_disk(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagelane.ops.client.submitting.MAX_KEPT_BYTES", 50)
    result = run("submit", "-", stdin=LIST)
    assert (result.exit_code, "SOURCE: -: it has more than 50 bytes" in result.stderr) == (2, True)
    assert fake.asked == []


@pytest.mark.usefixtures("taken")
def test_an_address_goes_as_one(fake: FakeGateway) -> None:
    url = "https://shop.example/list.csv"
    result = run("submit", url, "--notify-url", "https://shop.example/done")
    assert (result.exit_code, result.stdout) == (0, f"{ID}\n")
    assert json.loads(fake.asked[0].body) == {
        "list_url": url,
        "notify_url": "https://shop.example/done",
    }


def test_whatever_is_tried_again_has_the_same_key(fake: FakeGateway) -> None:
    answer = json.dumps({"job_id": ID, "customer_id": "acme", "idempotency_key": "k"}).encode()
    fake.tell(
        JOBS,
        problem(503, "not stored", retry_after="0"),
        problem(429, "others hand in lists", retry_after="0"),
        Told(502, b"<html>", {"Content-Type": "text/html"}),
        Told(202, answer[:5], cut=True),
        Told(202, answer),
    )
    result = run("submit", "-", stdin=LIST)
    assert (result.exit_code, result.stdout) == (0, f"{ID}\n")
    assert [one.body for one in fake.asked] == [LIST] * 5
    assert len({one.headers["Idempotency-Key"] for one in fake.asked}) == 1
    assert "not stored; it asks to come again in 0 s; trying again" in result.stderr
    assert "takes no more at this moment: others hand in lists" in result.stderr


def test_who_gives_up_says_under_which_key_it_is_safe_to_come_again(fake: FakeGateway) -> None:
    fake.tell(JOBS, problem(503, "not stored", retry_after="90"))
    result = run("submit", "-", "--idempotency-key", "k-1", "--patience", "5", stdin=LIST)
    assert result.exit_code == 1
    assert "it asks to come again in 90 s" in result.stderr
    assert "the same with --idempotency-key k-1 is the same job" in result.stderr
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        (problem(401, "the key is revoked"), 1, "API key in IMAGELANE_API_KEY: the key is revoked"),
        (problem(403, "the scope `submit` is needed"), 1, "the scope `submit` is needed"),
        (problem(404, "there is no such job"), 1, "there is no such job, or it is another"),
        (problem(409, "the job is finished"), 1, "the job is finished"),
        (problem(413, "it may have 9 bytes", field="file"), 2, "SOURCE: it may have 9 bytes"),
        (problem(422, "no such recipe", field="recipe"), 2, "--recipe: no such recipe"),
        (problem(422, "no URL", field="urls[17].url"), 2, "SOURCE[17].url: no URL"),
        (problem(422, "strange", field="other"), 2, "other: strange"),
        (Told(404, b"x", {"Content-Type": "text/html"}), 1, "is it an Imagelane gateway?"),
        (Told(302, b"", {"Location": "https://elsewhere.example/"}), 1, "answers 302"),
        (Told(202, b"<html>"), 1, "the answer is not one of this API"),
        (Told(202, b'{"job_id": 7}'), 1, "the answer is not one of this API"),
    ],
)
def test_a_refusal_is_a_sentence_that_names_what_is_at_fault(
    fake: FakeGateway, refusal: Told, code: int, words: str
) -> None:
    fake.tell(JOBS, refusal)
    result = run("submit", "-", stdin=LIST)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert len(fake.asked) == 1


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit",), "source"),
        (("submit", "nowhere.txt"), "SOURCE: nowhere.txt: No such file"),
        (("submit", "."), "SOURCE: .: Is a directory"),
        (("submit", "-", "--idempotency-key", "a\nb"), "--idempotency-key"),
        (("submit", "-", "--patience", "-1"), "--patience"),
        (("status", ID, "--gateway", "ftp://x"), "--gateway: 'ftp://x' is no http(s) address"),
        (("status", ID, "--gateway", "http://u:p@x"), "--gateway"),
        (("status", ID, "--gateway", "http://["), "--gateway"),
        (("status", ID, "--api-key-file", "nowhere"), "--api-key-file: nowhere: No such file"),
        (("jobs", "--limit", "0"), "--limit"),
        (("results", ID, "--format", "xml"), "--format"),
        (("trace", ID), f"IMAGE: {ID} is no image's id"),
        (("results", ID, "--format", "csv", "--json"), "--json is --format ndjson"),
        (("produce", "--customer", "acme"), "either FILE or --list-url"),
        (("produce", "nowhere.txt", "--customer", "acme"), "FILE: nowhere.txt: No such file"),
        (("produce", "--list-url", "x", "--customer", "acme"), "--list-url"),
        (
            ("produce", "--list-url", "http://x/", "--customer", "a", "--deadline", "soon"),
            "--deadline",
        ),
    ],
)
def test_wrong_usage_is_told_before_anybody_is_asked(
    fake: FakeGateway, arguments: tuple[str, ...], words: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert fake.asked == []


def test_no_gateway_and_no_key_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake: FakeGateway
) -> None:
    monkeypatch.delenv("IMAGELANE_API_KEY")
    result = run("jobs")
    assert (result.exit_code, "IMAGELANE_API_KEY" in result.stderr) == (2, True)
    (tmp_path / "empty").write_text("\n")
    result = run("jobs", "--api-key-file", "empty")
    assert (result.exit_code, "the file empty holds no API key" in result.stderr) == (2, True)
    monkeypatch.delenv("IMAGELANE_GATEWAY_URL")
    for command in (("jobs",), ("lanes",), ("cancel", ID)):
        result = run(*command)
        assert (result.exit_code, "IMAGELANE_GATEWAY_URL" in result.stderr) == (2, True)
    assert fake.asked == []


def test_a_gateway_that_is_not_there_is_named(fake: FakeGateway) -> None:
    result = run("jobs", "--gateway", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "no gateway answers at http://127.0.0.1:1 (" in result.stderr
    assert "--gateway or IMAGELANE_GATEWAY_URL" in result.stderr
    assert fake.asked == []


def test_a_stack_of_this_folder_is_found_and_its_key_goes_to_no_other_gateway(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("IMAGELANE_GATEWAY_URL")
    monkeypatch.delenv("IMAGELANE_API_KEY")
    data = tmp_path / "imagelane-data"
    (data / "secrets").mkdir(parents=True)
    (data / "secrets" / "operator-key").write_text("il_local_key\n")
    port = int(fake.url.rpartition(":")[2])
    (data / "ports.json").write_text(json.dumps({"gateway": port}))
    fake.json(JOBS, {"items": [], "next_cursor": None})
    assert run("jobs").exit_code == 0
    assert fake.asked[0].headers["Authorization"] == "Bearer il_local_key"
    result = run("jobs", "--gateway", fake.url.replace("127.0.0.1", "localhost"))
    assert (result.exit_code, "no API key is given" in result.stderr) == (2, True)
    assert len(fake.asked) == 1


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize(("delivered", "failed", "code"), [(2, 0, 0), (1, 1, 3), (0, 2, 1)])
def test_waiting_goes_on_over_broken_streams_from_the_last_event(
    fake: FakeGateway, delivered: int, failed: int, code: int
) -> None:
    ended = job(9, "finished", processed=2, delivered=delivered, failed=failed)
    fake.tell(
        f"{JOB}/events",
        problem(404, "there is no such job"),  # another gateway, and the tracker has not read of it
        events(job(3)),
        problem(503, "try again in a moment", retry_after="0"),
        Told(200, b"retry: 20", {"Content-Type": "text/event-stream"}, cut=True),
        events(job(5, processed=1), ended),
    )
    final = {**ended, "failures": [{"code": "gone", "reason": "it is gone", "images": failed}]}
    fake.json(JOB, final)
    result = run("submit", "-", "--wait", "--json", stdin=LIST)
    assert result.exit_code == code, result.output
    assert json.loads(result.stdout) == final
    streams = [one for one in fake.asked if one.target.endswith("/events")]
    assert [one.headers.get("Last-Event-ID") for one in streams] == [None, None, "3", "3", "3"]
    assert "so does this when the gateway is back" in result.stderr
    assert "processed 2/2" in result.stderr

    fake.tell(f"{JOB}/events", Told(204))
    shown = run("status", ID, "--wait")
    assert shown.exit_code == code
    assert shown.stdout.splitlines()[0].startswith(f"finished: {delivered} of 2 images delivered")
    assert "gone: it is gone" in shown.stdout


def test_a_key_that_is_revoked_ends_the_waiting(fake: FakeGateway) -> None:
    fake.json(JOB, job())
    fake.tell(f"{JOB}/events", events(job(3)), problem(401, "the key is revoked"))
    result = run("status", ID, "--wait")
    assert (result.exit_code, "the key is revoked" in result.stderr) == (1, True)


def test_lists_come_page_by_page_until_there_are_enough(fake: FakeGateway) -> None:
    def image(index: int) -> dict[str, Any]:
        return {"image_id": f"{ID}:{index}", "job_id": ID, "index": index, "status": "failed"}

    pages: list[dict[str, Any]] = [
        {"items": [image(0), image(1)], "next_cursor": "c1"},
        {"items": [image(2)], "next_cursor": None},
    ]
    fake.json(f"{JOB}/images", *pages)
    choice = ("--status", "failed", "--code", "gone", "--text", "shop 1")
    result = run("images", ID, "--json", "--all", *choice)
    assert [json.loads(line)["index"] for line in result.stdout.splitlines()] == [0, 1, 2]
    first, second = (one.target for one in fake.asked)
    assert "status=failed&code=gone&text=shop+1&limit=1000" in first
    assert "cursor=c1" in second
    fake.json(f"{JOB}/images", {**pages[0], "items": [image(0)]})
    result = run("images", ID, "--limit", "1")
    assert result.stdout.split() == ["0", "failed"]
    assert "--all shows all" in result.stderr


def test_a_list_of_nothing_says_so_and_keeps_standard_output_empty(fake: FakeGateway) -> None:
    for path, command in ((JOBS, ("jobs",)), (f"{JOB}/images", ("images", ID, "--code", "x"))):
        fake.json(path, {"items": [], "next_cursor": None})
        ended = run(*command)
        assert (ended.exit_code, ended.stdout, "no such" in ended.stderr) == (0, "", True)
        assert run(*command, "--json").stderr == ""


def test_results_lie_in_a_file_only_when_they_are_whole(fake: FakeGateway, tmp_path: Path) -> None:
    fake.tell(f"{JOB}/results", Told(200, b"half\n", cut=True))
    out = tmp_path / "results.csv"
    result = run("results", ID, "--format", "csv", "--output", "results.csv")
    assert (result.exit_code, "broke off" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
    fake.tell(f"{JOB}/results", Told(200, b"whole\n"))
    assert run("results", ID, "--format", "csv", "--output", "results.csv").exit_code == 0
    assert out.read_bytes() == b"whole\n"
    assert fake.asked[-1].target.endswith("?format=csv")
    assert run("results", ID).stdout == "whole\n"


def test_a_cancel_goes_by_the_gateway_where_one_is_named(fake: FakeGateway) -> None:
    told = {"command": "cancel", "customer_id": "acme", "decided_by": "key:k1"}
    fake.json(f"{JOB}/cancel", told, status=202)
    result = run("cancel", ID)
    assert result.exit_code == 0, result.output
    assert f"the job {ID} of acme" in result.stdout
    assert fake.asked[0].method == "POST"
    fake.json(JOB, {**told, "command": "delete"}, status=202)
    assert run("delete", ID).exit_code == 1, "nobody has said yes"
    assert json.loads(run("delete", ID, "--yes", "--json").stdout)["command"] == "delete"
    assert [one.method for one in fake.asked] == ["POST", "DELETE"]


def test_lanes_are_asked_of_the_gateway_where_one_is_named(fake: FakeGateway) -> None:
    call = {"seq": 7, "status": "active", "images": 120, "started_at": "2026-11-21T12:00:00Z"}
    lane = {"customer_id": "acme", "state": "active", "last_seq": 7, "ready": 30, "open_jobs": 2}
    idle = {**lane, "customer_id": "other", "state": "idle", "ready": 0}
    fake.json("/v1/lanes", {"items": [idle, {**lane, "call": call}], "next_cursor": None})
    result = run("lanes")
    assert "acme" in result.stdout
    assert "1 lane is idle; --all shows it" in result.stdout
    (busy, _idle) = json.loads(run("lanes", "--json").stdout)
    assert (busy["customer_id"], busy["images"], busy["ready"]) == ("acme", 120, 30)
    assert busy["since"] == "2026-11-21T12:00:00Z"


@pytest.mark.parametrize("state", ["active", "idle"])
def test_lanes_say_that_all_of_them_stand_still(fake: FakeGateway, state: str) -> None:
    lane = {"customer_id": "acme", "state": state, "last_seq": 7, "ready": 30, "open_jobs": 2}
    still = {**lane, "stands_still": "processed has 16 partitions instead of 12"}
    fake.json("/v1/lanes", {"items": [still], "next_cursor": None})
    assert "all lanes stand still: processed has 16 partitions" in run("lanes").stdout


def test_a_held_lane_is_released_by_the_gateway(fake: FakeGateway) -> None:
    call = {"seq": 7, "status": "held", "images": 120}
    held = {
        "customer_id": "acme",
        "state": "held",
        "last_seq": 7,
        "ready": 0,
        "open_jobs": 1,
        "call": call,
        "hold_reason": "nobody can tell",
        "held_since": "2026-11-21T12:00:00Z",
    }
    again = {**held, "held_since": "2026-11-21T12:30:00Z"}
    idle = {**held, "state": "idle", "call": None, "calls": [{**call, "status": "completed"}]}
    lane, path = "/v1/lanes/acme", "/v1/lanes/acme/release"
    fake.json(path, {}, status=202)
    for after, words in (
        (idle, "120 images of call 7 ended as completed"),
        ({**held, "state": "active"}, "call 7 is under way again: active"),
        (again, "call 7 was tried again, and is held again: nobody can tell"),
    ):
        fake.json(lane, held, held, after)
        result = run("lanes", "release", "acme", "--treat-as-done", "--note", "saw it", "--yes")
        assert result.exit_code == 0, result.output
        assert "the lane of acme is held: nobody can tell" in result.stdout
        assert words in result.stdout
    bodies = [json.loads(one.body) for one in fake.asked if one.method == "POST"]
    assert bodies == [{"seq": 7, "decision": "treat_as_done", "note": "saw it"}] * 3
    fake.json(lane, idle)
    result = run("lanes", "release", "acme", "--retry", "--yes")
    assert (result.exit_code, "is not held: it is idle, call 7" in result.stderr) == (1, True)


def test_explain_asks_for_what_it_needs(fake: FakeGateway) -> None:
    image = {
        "image_id": f"{ID}:1",
        "job_id": ID,
        "index": 1,
        "status": "requested",
        "url": "https://shop.example:8443/1.jpg",
    }
    server = {"host": "shop.example:8443", "state": "slowed", "images_at_a_time": 4}
    trail = {"image": image, "customer_id": "acme", "trace_id": "0" * 32, "steps": []}
    trail |= {"server": server}
    fake.json(f"/v1/images/{ID}:1", trail)
    fake.json(f"/v1/images/{ID}%3A1", trail)
    fake.json(JOB, job(downloaded=2))
    fake.json(JOBS, {"items": [job()]})
    fake.json("/v1/freshness", {"behind": 0, "written_at": None})
    fake.json(f"{JOB}/images", {"items": [image], "next_cursor": None})
    result = run("explain", f"{ID}:1")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"image {ID}:1 (requested): It waits")
    assert "Its server, shop.example:8443, gets only 4 images at a time" in result.stdout
    result = run("explain", f"{ID}:2")
    assert (result.exit_code, "the job has 2, counted from 0" in result.stderr) == (1, True)
    fake.json(JOB, {**job(status="accepted"), "images": 3})
    assert "has requested 2 of 3 images" in run("explain", f"{ID}:2").stdout
    told = json.loads(run("explain", ID, "--json").stdout)
    assert (told["subject"], told["state"]) == (f"job {ID}", "accepted")
    assert "first image that waits for the downloader, shop.example:8443, gets only" in told["why"]
    fake.json(JOB, job(downloaded=2))
    assert "shop.example" not in run("explain", ID).stdout, "none waits for the downloader"
    assert "1 job is open" in run("explain", "acme").stdout.replace("2 jobs are", "1 job is")
    fake.json(JOBS, {"items": [job(downloaded=1)]})
    assert "waits for the downloader, shop.example:8443, gets only" in run("explain", "acme").stdout
    fake.json(JOBS, {"items": []})
    result = run("explain", "nobody")
    assert (result.exit_code, "no image, job or customer 'nobody'" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout
