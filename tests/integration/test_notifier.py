"""The notifier on a real broker: each notice is posted until somebody takes it, whatever dies on the way."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.notifiers import (
    Answer,
    Receiver,
    Sender,
    notifier,
    receiver,
    recorded,
    sender,
    until_recorded,
)
from tests.waiting import eventually

from imagelane.platform.settings import KafkaSettings

__all__ = ["receiver", "sender"]

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


ENDS = {
    "later": ("delivered", 4, "2xx"),
    "gone": ("given_up", 2, "410"),
    "never": ("given_up", 4, "4xx"),
    "wait": ("delivered", 2, "2xx"),
}


def answers(*statuses: int, headers: dict[str, str] | None = None) -> Answer:
    """These in turn, the last one for ever."""

    async def answer(number: int) -> web.Response:
        status = statuses[min(number, len(statuses)) - 1]
        return web.Response(status=status, headers=headers if status >= 400 else None)

    return answer


async def test_a_notice_is_delivered_once_signed_and_recorded(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    job_id = await sender.send(f"{receiver.url}/ok")  # before the notifier runs
    async with notifier(kafka, tmp_path):
        over = await until_recorded(kafka, job_id, lambda one: one.state != "pending")
        assert (over.state, over.attempts, over.last_result) == ("delivered", 1, "2xx")
        again = await sender.send(f"{receiver.url}/ok", "umbra")  # while it runs
        await until_recorded(kafka, again, lambda one: one.state == "delivered")
    assert [one["job_id"] for one in receiver.posts["/ok"]] == [job_id, again]
    told = receiver.posts["/ok"][0]
    assert told["type"] == "job.finished.v1"
    assert (told["customer_id"], told["delivered"]) == ("acme", 3)
    assert told["idempotency_key"] == "order-7"
    assert receiver.ids["/ok"][0] == over.notice_id


async def test_what_is_refused_comes_again_under_its_id_until_it_is_taken_or_not_wanted(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    receiver.answers["/later"] = answers(500, 302, 429, 200)
    receiver.answers["/gone"] = answers(503, 410)
    receiver.answers["/never"] = answers(404)
    receiver.answers["/wait"] = answers(503, 200, headers={"Retry-After": "3"})
    began = time.monotonic()
    async with notifier(kafka, tmp_path, retry_seconds=[0.2] * 3):
        jobs = {name: await sender.send(f"{receiver.url}/{name}") for name in ENDS}
        ends = {
            name: await until_recorded(kafka, job, lambda one: one.state != "pending")
            for name, job in jobs.items()
        }
    found = {name: (one.state, one.attempts, one.last_result) for name, one in ends.items()}
    assert found == ENDS
    assert time.monotonic() - began > 3
    for name, end in ends.items():
        assert receiver.ids[f"/{name}"] == [end.notice_id] * end.attempts
        assert len({str(one) for one in receiver.posts[f"/{name}"]}) == 1


async def test_dead_endpoints_hold_up_nobody_else(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    async def hang(_number: int) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    receiver.answers["/dead"] = hang
    dead_url = receiver.url.replace("127.0.0.1", "127.0.0.2")  # nobody listens there
    live_url = receiver.url.replace("127.0.0.1", "localhost")
    async with notifier(kafka, tmp_path, posts_per_host=2, post_seconds=60):
        for _ in range(20):
            await sender.send(f"{receiver.url}/dead")
            await sender.send(f"{dead_url}/dead")
        await eventually(lambda: len(receiver.posts["/dead"]) == 2)
        job_id = await sender.send(f"{live_url}/live", "umbra")
        await eventually(lambda: bool(receiver.posts["/live"]), within_seconds=40)
        await until_recorded(kafka, job_id, lambda one: one.state == "delivered")
        assert len(receiver.posts["/dead"]) == 2  # not more at a time


async def test_killed_between_post_and_record_it_posts_once_more_under_the_same_id(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    running: list[asyncio.subprocess.Process] = []

    async def kill_first(number: int) -> web.Response:
        if number == 1:
            running[0].kill()
            await running[0].wait()
        return web.Response()

    receiver.answers["/hook"] = kill_first
    async with notifier(kafka, tmp_path) as process:
        running.append(process)
        job_id = await sender.send(f"{receiver.url}/hook")
        await process.wait()
    async with notifier(kafka, tmp_path):
        over = await until_recorded(kafka, job_id, lambda one: one.state != "pending")
        assert (over.state, over.attempts) == ("delivered", 1)
        other = await sender.send(f"{receiver.url}/other")
        await until_recorded(kafka, other, lambda one: one.state == "delivered")
    assert receiver.ids["/hook"] == [over.notice_id] * 2


async def test_a_restart_goes_on_with_what_is_pending_and_posts_nothing_that_is_over(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    receiver.answers["/later"] = answers(500, 500, 200)
    async with notifier(kafka, tmp_path, retry_seconds=[0.1, 6, 6]):
        done = await sender.send(f"{receiver.url}/done")
        later = await sender.send(f"{receiver.url}/later")
        await until_recorded(kafka, done, lambda one: one.state == "delivered")
        waiting = await until_recorded(kafka, later, lambda one: one.attempts == 2)
    async with notifier(kafka, tmp_path):
        over = await until_recorded(kafka, later, lambda one: one.state == "delivered")
    assert (waiting.state, waiting.last_result, over.attempts) == ("pending", "5xx", 3)
    assert over.occurred_at >= waiting.next_at  # type: ignore[operator] # it has one
    assert len(receiver.posts["/later"]) == 3
    assert len(receiver.posts["/done"]) == 1
    assert {one.state for one in recorded(kafka).values()} == {"delivered"}


async def test_what_a_killed_one_had_pending_another_takes_over(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    """Two share the partitions; each posts its own, and the survivor all of them."""
    customers = [f"c{number}" for number in range(8)]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    async with notifier(kafka, tmp_path / "one") as first, notifier(kafka, tmp_path / "two"):
        for folder in ("one", "two"):
            log = tmp_path / folder / "notifier.log"
            await eventually(lambda log=log: "partition.restored" in log.read_text())  # type: ignore[misc] # bound
        before = [await sender.send(f"{receiver.url}/hook", one) for one in customers]
        for job_id in before:
            await until_recorded(kafka, job_id, lambda one: one.state == "delivered")
        first.kill()
        await first.wait()
        after = [await sender.send(f"{receiver.url}/hook", one) for one in customers]
        for job_id in after:
            await until_recorded(kafka, job_id, lambda one: one.state == "delivered")
    told = [one["job_id"] for one in receiver.posts["/hook"]]
    assert sorted(told) == sorted(before + after)


async def test_one_notice_too_many_of_a_customer_is_given_up_and_said_so(
    kafka: KafkaSettings, receiver: Receiver, sender: Sender, tmp_path: Path
) -> None:
    receiver.answers["/dead"] = answers(500)
    settings = {"retry_seconds": [600.0], "max_pending_per_customer": 2}
    async with notifier(kafka, tmp_path, **settings):
        jobs = [await sender.send(f"{receiver.url}/dead") for _ in range(3)]
        other = await sender.send(f"{receiver.url}/ok", "umbra")
        await until_recorded(kafka, other, lambda one: one.state == "delivered")
        end = await until_recorded(kafka, jobs[2], lambda one: one.state == "given_up")
    assert (end.last_result, end.attempts) == ("too_many", 0)
    assert [recorded(kafka)[one].state for one in jobs[:2]] == ["pending", "pending"]


async def test_without_a_secret_it_does_not_start_and_says_what_is_missing(
    kafka: KafkaSettings,
) -> None:
    settings = {"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "imagelane.notifier"), env=settings, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"IMAGELANE_NOTIFY_SIGNING__SECRET_FILES" in said
