"""Running batches: a task per batch, which reads its URLs, takes its time, ends it and calls back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from imagelane.standin import faults as fault
from imagelane.standin.contract import Batch, FailedUrl, NewBatch, Status
from imagelane.standin.faults import Faults
from imagelane.standin.fetching import Fetched, Fetcher
from imagelane.standin.journal import Entry, Journal
from imagelane.standin.registry import Registry
from imagelane.standin.webhooks import WebhookSender

INJECTED: Final = "refused on order of the test"


class World:
    """What the handlers and the running batches share. Belongs to the running event loop."""

    def __init__(self, journal: Journal, registry: Registry, faults: Faults) -> None:
        self.journal = journal
        self.registry = registry
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Ends with an error that nobody expected: the stand-in must not go on."""
        self._may_end = asyncio.Event()
        self.faults = faults

    @property
    def faults(self) -> Faults:
        """The faults of now; they are replaced as a whole when they change."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        if faults.never_end:
            self._may_end.clear()
        else:
            self._may_end.set()

    async def may_end(self) -> None:
        """Returns when batches may end."""
        await self._may_end.wait()


@dataclass(frozen=True, slots=True)
class Duration:
    """A batch of n URLs takes at least `base_seconds + per_url_seconds * n`."""

    base_seconds: float = 1.0
    per_url_seconds: float = 0.001

    def of(self, urls: int) -> float:
        """Seconds for a batch of so many URLs."""
        return self.base_seconds + self.per_url_seconds * urls


class Runner:
    """Runs each batch in a task; an unexpected error in one of them is the world's failure."""

    def __init__(
        self,
        world: World,
        *,
        duration: Duration,
        fetcher: Fetcher,
        webhooks: WebhookSender,
    ) -> None:
        self._world = world
        self._duration = duration
        self._fetcher = fetcher
        self._webhooks = webhooks
        self._running: set[asyncio.Task[None]] = set()

    def start(self, batch: Batch, new: NewBatch) -> None:
        """Starts the batch's task. The full duration counts from here."""
        task = asyncio.create_task(self._run(batch, new))
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def send_early(self, batch: Batch, new: NewBatch) -> None:
        """The fault `early`: one attempt of a webhook that claims what is not true yet."""
        if new.callback_url is not UNSET:
            claimed = replace(batch, status="completed", finished_at=now_text())
            await self._webhooks.send(claimed, new.callback_url, once=True)

    async def stop(self) -> None:
        """Cancels what runs; the journal says that it did not finish."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled() or self._world.failed.done():
            return
        if (error := task.exception()) is not None:
            self._world.failed.set_exception(error)

    async def _run(self, batch: Batch, new: NewBatch) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(asyncio.sleep(self._duration.of(batch.count)))
            reading = both.create_task(self._fetcher.fetch_all(new.urls))
        await self._world.may_end()
        finished = self._finish(batch, new.urls, reading.result())
        if new.callback_url is not UNSET and self._world.faults.webhooks != "off":
            copies = 2 if self._world.faults.webhooks == "doubled" else 1
            await self._webhooks.send(finished, new.callback_url, copies=copies)

    def _finish(self, batch: Batch, urls: list[str], fetched: Fetched) -> Batch:
        items = [
            {"place": place, "url": urls[place], "reason": reason, "cause": "fetch"}
            for place, reason in sorted(fetched.reasons.items())
        ]
        items += self._injected(urls, sparing=fetched.reasons)
        status = _status(len(urls), len(items))
        now = now_text()
        self._world.journal.write(
            "finished",
            batch=batch.id,
            customer=batch.customer,
            status=status,
            failed=items,
            bytes=fetched.bytes,
            at=now,
        )
        return self._world.registry.finish(
            batch.id, status=status, failed=_failed_of(items), now=now
        )

    def _injected(self, urls: list[str], *, sparing: dict[int, str]) -> list[dict[str, Any]]:
        whole = self._world.faults.take("fail_batches_times")
        struck = urls if whole else fault.matching(self._world.faults.fail_urls, urls)
        if not struck:
            return []
        chosen = set(struck)
        return [
            {"place": place, "url": url, "reason": INJECTED, "cause": "injected"}
            for place, url in enumerate(urls)
            if url in chosen and place not in sparing
        ]


def restore(entries: list[Entry], registry: Registry) -> list[tuple[Batch, NewBatch]]:
    """Takes a journal's batches into the registry; the ones that had not finished are returned."""
    active: dict[str, tuple[Batch, NewBatch]] = {}
    for entry in entries:
        if entry["kind"] == "accepted":
            new = NewBatch(
                customer=entry["customer"],
                urls=entry["urls"],
                reference=UNSET if entry["reference"] is None else entry["reference"],
                callback_url=UNSET if entry["callback_url"] is None else entry["callback_url"],
            )
            batch = Batch(
                id=entry["batch"],
                customer=new.customer,
                status="active",
                count=len(new.urls),
                created_at=entry["at"],
                reference=new.reference,
            )
            registry.add(batch, key=entry["key"], digest=entry["digest"])
            active[batch.id] = (batch, new)
        elif entry["kind"] == "finished":
            del active[entry["batch"]]
            registry.finish(
                entry["batch"],
                status=entry["status"],
                failed=_failed_of(entry["failed"]),
                now=entry["at"],
            )
    return list(active.values())


def now_text() -> str:
    """Now, as RFC 3339."""
    return datetime.now(UTC).isoformat()


def _status(urls: int, failed: int) -> Status:
    if not failed:
        return "completed"
    return "failed" if failed == urls else "partial"


def _failed_of(items: list[dict[str, Any]]) -> list[FailedUrl]:
    return [FailedUrl(url=item["url"], reason=item["reason"]) for item in items]
