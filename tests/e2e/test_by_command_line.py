"""A person with nothing but the command line: a list goes in, is waited for, and everything about it is asked."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.e2e.images import Images
from tests.e2e.road import ON_THE_ROAD, Road

pytestmark = ON_THE_ROAD

IMAGES: Final = 120
PARTLY: Final = 3
IMAGELANE: Final = Path(sys.executable).with_name("imagelane")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs `imagelane` where a local stack's data lies, without any variable: it finds gateway and key by itself."""

    folder: Path

    async def run(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> Ended:
        process = await asyncio.create_subprocess_exec(
            IMAGELANE,
            *arguments,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "HOME": str(self.folder)},
        )
        out, err = await process.communicate(stdin)
        ended = Ended(process.returncode or 0, out.decode(), err.decode())
        assert ended.code == code, f"{arguments}: {ended}"
        return ended


@pytest.fixture
def shell(road: Road, tmp_path: Path) -> Shell:
    (tmp_path / "imagelane-data").symlink_to(road.stack.options.data)
    return Shell(tmp_path)


async def test_a_list_is_handed_in_waited_for_and_looked_at(shell: Shell, images: Images) -> None:
    lines = [*images.urls(IMAGES - 1), f"{images.url}/nowhere.jpg"]
    submitted = await shell.run(
        *("submit", "-", "--customer", "by hand", "--wait", "--json"),
        stdin="\n".join(lines).encode(),
        code=PARTLY,
    )
    told = submitted.json
    job = told["job_id"]
    assert told["counts"] | {"delivered": IMAGES - 1, "failed": 1} == told["counts"]
    assert [one["code"] for one in told["failures"]] == ["not_found"]
    assert f"delivered {IMAGES - 1}/{IMAGES}" in submitted.err

    assert (await shell.run("status", job, "--json")).json == told
    (listed,) = (await shell.run("jobs", "--customer", "by hand", "--json")).lines
    assert listed["job_id"] == job
    (failed,) = (await shell.run("images", job, "--status", "failed", "--json")).lines
    assert (failed["index"], failed["url"]) == (IMAGES - 1, lines[-1])
    results = (await shell.run("results", job)).lines
    assert [one["url"] for one in results] == lines
    assert [len(one["results"]) for one in results] == [1] * (IMAGES - 1) + [0]
    await shell.run("results", job, "--format", "csv", "--output", "results.csv")
    with (shell.folder / "results.csv").open(newline="") as file:
        assert [row["url"] for row in csv.DictReader(file)] == lines

    trail = (await shell.run("trace", f"{job}:0", "--json")).json
    kinds = [step["kind"] for step in trail["steps"]]
    assert kinds[0] == "job.accepted"
    assert {"image.downloaded", "image.processed", "outcome.recorded"} <= set(kinds)
    explained = (await shell.run("explain", f"{job}:0", "--json")).json
    assert explained["state"] == "delivered"
    assert "delivered it" in explained["why"]
    assert "is done" in (await shell.run("explain", f"{job}:0")).out
    (lane,) = json.loads((await shell.run("lanes", "by hand", "--json")).out)
    assert (lane["state"], lane["ready"]) == ("idle", 0)
    over = await shell.run("cancel", job, code=1)
    assert "the job is finished" in over.err


async def test_an_image_whose_server_asks_for_a_pause_is_explained(shell: Shell) -> None:
    async def busy(_request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "300"})

    application = web.Application()
    application.router.add_get("/{path:.*}", busy)
    async with TestServer(application) as server:
        submitted = await shell.run(
            *("submit", "-", "--customer", "patient", "--json"),
            stdin=f"{server.make_url('/1.jpg')}\n{server.make_url('/2.jpg')}".encode(),
        )
        job = submitted.json["job_id"]
        said = ""
        for _ in range(60):  # each takes most of a second
            said = (await shell.run("explain", f"{job}:0", "--json")).json["why"]
            if "is left alone until" in said:
                break
        assert f"Its server, {server.host}:{server.port}, is left alone until" in said
        assert "as it asked (Retry-After): the server asked for fewer requests" in said
        of_job = (await shell.run("explain", job)).out
        assert f"waits for the downloader, {server.host}:{server.port}, is left alone" in of_job
        await shell.run("cancel", job)


async def test_a_list_goes_straight_into_kafka_and_the_same_again_is_the_same_job(
    shell: Shell, road: Road, images: Images
) -> None:
    servers = road.stack.kafka.bootstrap_servers
    produce = (
        f"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS={servers}",
        str(IMAGELANE),
        *("produce", "-", "--customer", "by-kafka", "--key", "order-1", "--json"),
    )
    places = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            "env",
            *produce,
            cwd=shell.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _err = await process.communicate("\n".join(images.urls(5)).encode())
        assert process.returncode == 0
        places.append(json.loads(out))
    first, second = places
    assert first["topic"] == second["topic"] == "urls"
    assert first["partition"] == second["partition"]
    assert first["offset"] < second["offset"]

    found: list[Any] = []
    for _ in range(60):  # each takes most of a second
        found = (await shell.run("jobs", "--customer", "by-kafka", "--json")).lines
        if found:
            break
    (job,) = {one["job_id"] for one in found}
    ended = await shell.run("status", job, "--wait")
    assert ended.out == "finished: 5 of 5 images delivered\n"
