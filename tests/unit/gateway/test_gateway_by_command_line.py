"""The command line and the gateway, each as it is: what one sends the other understands, refusals included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from tests.unit.gateway.conftest import Gateway, Start
from tests.unit.gateway.tracked import result
from typer.testing import CliRunner, Result

from imagelane.contracts.commands import CancelJob, DeleteJob, ReleaseLane
from imagelane.ops.cli import app
from imagelane.tracking.views import CallStatus, Counts

JOB = "a" * 32
LIST = b"https://shop.example/1.jpg\nhttps://shop.example/2.jpg\n"
HELD = CallStatus(customer_id="acme", seq=7, status="held", images=3, jobs=[])
Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command against a gateway, with the key of `acme` or another one."""
    monkeypatch.chdir(tmp_path)

    async def command(
        gateway: Gateway, *arguments: str, token: str | None = None, stdin: bytes = b""
    ) -> Result:
        variables = {
            "IMAGELANE_GATEWAY_URL": gateway.url,
            "IMAGELANE_API_KEY": token or gateway.token,
        }
        invoke = partial(CliRunner().invoke, app, list(arguments), input=stdin, env=variables)
        return await asyncio.to_thread(invoke)

    return command


async def test_a_list_is_taken_once_however_often_it_is_sent(start: Start, run: Run) -> None:
    async with start() as gateway:
        wanted = ("submit", "-", "--idempotency-key", "order-1", "--json")
        first = await run(gateway, *wanted, stdin=LIST)
        again = await run(gateway, *wanted, stdin=LIST)
        assert first.exit_code == again.exit_code == 0, first.output
        assert json.loads(first.stdout)["job_id"] == json.loads(again.stdout)["job_id"]
        (upload,) = gateway.uploads
        assert upload.read_bytes() == LIST
        other = await run(gateway, *wanted, stdin=LIST[:27])
        assert (other.exit_code, "--idempotency-key: job" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--recipe", "nothing"), "--recipe: there is no such recipe"),
        (("--destination", "nowhere"), "--destination"),
        (("--deadline", "soon"), "--deadline"),
        (("--deadline", "2020-01-01T00:00:00Z"), "--deadline"),
        (("--notify-url", "ftp://x"), "--notify-url"),
        (("--list-format", "xls"), "--list-format"),
        (("--customer", ""), "--customer"),
    ],
)
async def test_a_wrong_wish_is_told_by_its_option(
    start: Start, run: Run, arguments: tuple[str, ...], words: str
) -> None:
    async with start() as gateway:
        ended = await run(gateway, "submit", "-", *arguments, stdin=LIST)
        assert (ended.exit_code, gateway.kafka.sent) == (2, [])
        assert words in ended.stderr


async def test_an_empty_list_another_customer_and_a_key_without_scope_are_refused(
    start: Start, run: Run
) -> None:
    async with start() as gateway:
        empty = await run(gateway, "submit", "-")
        assert (empty.exit_code, "SOURCE: the list has no lines" in empty.stderr) == (2, True)
        umbra = await run(gateway, "submit", "-", "--customer", "umbra", stdin=LIST)
        assert (umbra.exit_code, "another customer's" in umbra.stderr) == (1, True)
        operator = gateway.keys.token(None, "operate")
        nobody = await run(gateway, "submit", "-", token=operator, stdin=LIST)
        assert (nobody.exit_code, "--customer: an operator's key" in nobody.stderr) == (2, True)
        reader = gateway.keys.token("acme", "read")
        ended = await run(gateway, "submit", "-", token=reader, stdin=LIST)
        assert (ended.exit_code, "the scope `submit` is needed" in ended.stderr) == (1, True)
        revoked = gateway.keys.token("acme", "submit", revoked=True)
        ended = await run(gateway, "submit", "-", token=revoked, stdin=LIST)
        assert (ended.exit_code, "API key in IMAGELANE_API_KEY" in ended.stderr) == (1, True)
        assert gateway.kafka.sent == []


async def test_a_job_is_waited_for_and_everything_about_it_can_be_asked(
    start: Start, run: Run
) -> None:
    async with start() as gateway:
        jobs = gateway.tracker.jobs
        jobs.put(JOB, "acme")
        jobs.results_of[JOB] = [result(0), result(1)]
        waiting = asyncio.ensure_future(run(gateway, "status", JOB, "--wait"))
        await asyncio.sleep(0.2)
        jobs.put(JOB, "acme", status="finished", counts=Counts(delivered=1, failed=1))
        ended = await waiting
        assert ended.exit_code == 3, ended.output
        assert ended.stdout.startswith("finished: 1 of 2 images delivered, 1 failed")
        assert "not_found: gone" in ended.stdout
        for command in (("status", JOB), ("jobs",), ("images", JOB), ("trace", f"{JOB}:0")):
            shown = await run(gateway, *command)
            assert shown.exit_code == 0, shown.output
            assert JOB in shown.stdout or "https://shop.example/1.jpg" in shown.stdout
        downloaded = await run(gateway, "results", JOB)
        assert [json.loads(line)["index"] for line in downloaded.stdout.splitlines()] == [0, 1]
        explained = await run(gateway, "explain", f"{JOB}:0")
        assert explained.stdout.startswith(f"image {JOB}:0 (delivered): It is done")
        unknown = await run(gateway, "status", "b" * 32)
        assert (unknown.exit_code, "there is no such job" in unknown.stderr) == (1, True)
        gateway.tracker.is_there = False
        ended = await run(gateway, "status", JOB)
        assert (ended.exit_code, "cannot do it now" in ended.stderr) == (1, True)


async def test_what_people_decide_reaches_kafka(start: Start, run: Run) -> None:
    async with start() as gateway:
        gateway.tracker.jobs.put(JOB, "acme")
        gateway.tracker.jobs.put_lane("acme", state="held", call=HELD)
        assert (await run(gateway, "cancel", JOB)).exit_code == 0
        assert (await run(gateway, "delete", JOB, "--yes")).exit_code == 0
        release = ("lanes", "release", "acme", "--retry", "--note", "seen", "--yes")
        ended = await run(gateway, *release, token=gateway.keys.token(None, "operate"))
        assert ended.exit_code == 0, ended.output
        assert "3 images of call 7 ended as completed" in ended.stdout
        refused = await run(gateway, *release)
        assert (refused.exit_code, "the scope `operate`" in refused.stderr) == (1, True)
        assert [type(one) for one in gateway.kafka.sent] == [CancelJob, DeleteJob, ReleaseLane]
