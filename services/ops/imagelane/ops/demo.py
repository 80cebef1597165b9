"""The demo: real parts on this machine, lists of three customers, and a judge at the end."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from imagelane.contracts.events import ListSubmitted
from imagelane.ops import report
from imagelane.ops.local import LocalOptions, LocalStack, Standin, running
from imagelane.ops.photos import PhotoFolder, make_photos
from imagelane.ops.progress import Progress
from imagelane.ops.submission import submit
from imagelane.ops.watching import JobWatch, RoadWatch

PHOTOS: Final = 300
BROKEN: Final = 6
PATIENCE_SECONDS: Final = 180.0
LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Wish:
    """One list of the demo: who hands it in, after how many seconds, and its lines."""

    customer_id: str
    lines: tuple[str, ...]
    after_seconds: float = 0.0
    by_reference: bool = False

    @property
    def key(self) -> str:
        """The idempotency key, which also tells the job from others."""
        return f"demo-{self.customer_id}"


def wishes_of(photos: PhotoFolder, server: str) -> list[Wish]:
    """One large list with some bad lines, handed in by reference, and two small ones that come later."""
    good = [f"{server}/{name}" for name in photos.good]
    bad = [
        *(f"{server}/{name}" for name in photos.broken),
        *(f"{server}/gone-{n}.jpg" for n in range(4)),
        "not a URL at all",
        "http://10.0.0.1/private.jpg",
    ]
    large = list(good)
    for n, line in enumerate(bad):
        large.insert((n + 1) * len(good) // (len(bad) + 1), line)
    return [
        Wish("aurora", tuple(large), by_reference=True),
        Wish("birch", tuple(f"{url}?birch" for url in good[:40]), after_seconds=3.0),
        Wish("cedar", tuple(f"{url}?cedar" for url in good[40:65]), after_seconds=4.0),
    ]


async def run(
    folder: Path, options: LocalOptions, *, own_list: Path | None = None, customer: str = "acme"
) -> int:
    """Runs the demo below `folder`; 0 if every image of every list ended well or as told, else 1."""
    shutil.rmtree(options.data, ignore_errors=True)
    lists = folder / "lists"
    shutil.rmtree(lists, ignore_errors=True)
    lists.mkdir(parents=True)
    show = Progress()
    show.say("demo", f"making {PHOTOS} photos (once) …" if own_list is None else "own list")
    photos = await asyncio.to_thread(_photos, folder / "photos", own_list)
    options = replace(
        options,
        loopback_sources=True,
        standin=Standin(base_seconds=1.0, per_url_seconds=0.01),
        environment={"IMAGELANE_BATCHER__LINGER_SECONDS": "5"},
    )
    async with _image_server(photos.folder, lists) as server:
        wishes = wishes_of(photos, server)
        if own_list is not None:
            wishes = [_own(own_list, customer)]
        async with running(options, tell=show.say, output=show.keep) as stack:
            watch = await asyncio.to_thread(RoadWatch, stack.kafka)
            try:
                await _hand_in(stack, wishes, lists, server, show)
                jobs = await _follow(watch, wishes, stack, show)
            finally:
                await asyncio.to_thread(watch.stop)
                show.end()
    return report.print_summary(
        stack, [(wish.customer_id, len(wish.lines)) for wish in wishes], jobs
    )


def _photos(folder: Path, own_list: Path | None) -> PhotoFolder:
    if own_list is None:
        return make_photos(folder, PHOTOS, broken=BROKEN)
    folder.mkdir(parents=True, exist_ok=True)
    return PhotoFolder(folder, (), ())


def _own(path: Path, customer: str) -> Wish:
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return Wish(customer, tuple(line for line in lines if line.strip()), by_reference=True)


@asynccontextmanager
async def _image_server(folder: Path, lists: Path) -> AsyncIterator[str]:
    command = ("-m", "imagelane.ops.image_server", "--folder", str(folder), "--lists", str(lists))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        line = await process.stdout.readline() if process.stdout else b""
        yield str(json.loads(line)["url"])
    finally:
        process.terminate()
        await process.wait()


async def _hand_in(
    stack: LocalStack, wishes: list[Wish], lists: Path, server: str, show: Progress
) -> None:
    async def one(wish: Wish) -> None:
        await asyncio.sleep(wish.after_seconds)
        await asyncio.to_thread(submit, stack.kafka, _event_of(wish, lists, server))
        show.say("demo", f"{wish.customer_id} hands in {len(wish.lines)} lines")

    await asyncio.gather(*map(one, wishes))


def _event_of(wish: Wish, lists: Path, server: str) -> ListSubmitted:
    if not wish.by_reference:
        return ListSubmitted(
            customer_id=wish.customer_id, idempotency_key=wish.key, urls=list(wish.lines)
        )
    name = f"{wish.key}.txt"
    (lists / name).write_text("".join(f"{line}\n" for line in wish.lines), encoding="utf-8")
    return ListSubmitted(
        customer_id=wish.customer_id, idempotency_key=wish.key, list_url=f"{server}/list/{name}"
    )


async def _follow(
    watch: RoadWatch, wishes: list[Wish], stack: LocalStack, show: Progress
) -> list[JobWatch]:
    """Waits until every job has ended, or nothing has moved for too long."""
    loop = asyncio.get_running_loop()
    moved_at, moved = loop.time(), -1
    while True:
        if stack.supervisor.refused.done():
            stack.supervisor.refused.result()
        jobs = [job for wish in wishes if (job := watch.job(wish.key))]
        show.jobs(jobs, {wish.customer_id: len(wish.lines) for wish in wishes})
        if len(jobs) == len(wishes) and all(job.ended for job in jobs):
            return jobs
        now_moved = sum(stage.images for job in jobs for stage in job.stages.values()) + sum(
            job.delivered for job in jobs
        )
        if now_moved != moved:
            moved_at, moved = loop.time(), now_moved
        if loop.time() - moved_at > PATIENCE_SECONDS:
            show.say("demo", f"nothing has moved for {PATIENCE_SECONDS:.0f} s: giving up")
            return jobs
        await asyncio.sleep(LOOK_SECONDS)
