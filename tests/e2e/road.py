"""A running pipeline as a test sees it: lists in, topics and the API's journal out, processes that die."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer
from tests.e2e.records import Records

from imagelane.contracts import topics
from imagelane.contracts.events import JobAccepted, JobFinished, JobRefused, JobSealed
from imagelane.ops.local import LocalOptions, LocalStack, programs, running
from imagelane.ops.supervisor import Program
from imagelane.standin import journal
from imagelane.standin.history import Call, history_of

ON_THE_ROAD: Final = [
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(400),  # the waits below end long before, and say what they waited for
]
CACHE: Final = Path.home() / ".cache" / "imagelane"
PATIENCE_SECONDS: Final = 150.0
RESTART_SECONDS: Final = 60.0
SETTINGS: Final = {
    "PYTHONFAULTHANDLER": "1",
    "IMAGELANE_KAFKA__SESSION_TIMEOUT_SECONDS": "6",  # so long the partitions of the killed rest
    "IMAGELANE_BATCHER__SWEEP_AFTER_SECONDS": "0",
    "IMAGELANE_BATCHER__FIRST_CALL_IMAGES": "50",
    "IMAGELANE_INTAKE__MAX_UNREAD": "500",
    "IMAGELANE_INTAKE__LAG_SECONDS": "0.1",
}


@dataclass(frozen=True, slots=True)
class Job:
    """A list that was handed in."""

    customer: str
    key: str


@dataclass(slots=True)
class Outcomes:
    """What became of a job's images on the road, by their indexes: `failed` holds the codes."""

    job_id: str
    images: int
    ok: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    urls: set[str] = field(default_factory=set)


class Road:
    """One running stack, and everything that is seen of it from outside."""

    def __init__(self, stack: LocalStack, endings: list[str]) -> None:
        self.stack = stack
        self.endings = endings
        self.records = Records(stack.kafka)
        self.killed: Counter[str] = Counter()
        self._producer = Producer(
            {
                **stack.kafka.security.librdkafka_properties(),
                "bootstrap.servers": stack.kafka.bootstrap_servers,
                "log_level": 0,
            }
        )

    # Lists

    async def submit(self, customer: str, *, key: str = "list", **fields: object) -> Job:
        """Hands a list in as another system would, with a partitioner that is not ours."""
        event = {"customer_id": customer, "idempotency_key": key, **fields}
        problems: list[object] = []
        self._producer.produce(
            self.stack.kafka.topic(topics.URLS),
            value=json.dumps(event).encode(),
            on_delivery=lambda error, _message: problems.append(error) if error else None,
        )
        left = await asyncio.to_thread(self._producer.flush, 30)
        assert not left
        assert not problems
        return Job(customer, key)

    async def until(
        self, what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Looks again and again until it holds; fails with the state of everything if it does not."""
        time = asyncio.get_running_loop().time
        deadline = time() + seconds
        while not holds():
            if time() > deadline:
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.state()}")
            await self.records.look()

    async def finished(self, *jobs: Job, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until all these jobs are finished, and all records about them are here."""
        await self.until(
            f"the end of {jobs}", lambda: all(map(self.finish_of, jobs)), seconds=seconds
        )
        await self.records.look_to_end()

    # What was seen

    def seen(self, topic: str, job: Job) -> list[Any]:
        """The events of the job's customer on the topic. Tests keep customers to themselves."""
        return [one.event for one in self.records.of(topic, job.customer)]

    def id_of(self, job: Job) -> str | None:
        """Its job_id, once it is accepted."""
        for event in self.seen(topics.JOBS, job):
            if isinstance(event, JobAccepted) and event.idempotency_key == job.key:
                return event.job_id
        return None

    def finish_of(self, job: Job) -> JobFinished | None:
        """Its end, once it was told."""
        job_id = self.id_of(job)
        told: list[JobFinished] = self.seen(topics.FINISHED, job)
        return next((event for event in told if event.job_id == job_id), None)

    def refusals(self, job: Job) -> list[JobRefused]:
        """Every refusal of its customer's lists."""
        return [one for one in self.seen(topics.JOBS, job) if isinstance(one, JobRefused)]

    def outcomes(self, job: Job) -> Outcomes:
        """What the road says of each image."""
        job_id = self.id_of(job)
        assert job_id is not None
        sealed = [one for one in self.seen(topics.JOBS, job) if isinstance(one, JobSealed)]
        (images,) = {one.images for one in sealed if one.job_id == job_id}
        found = Outcomes(job_id, images)
        for event in self.seen(topics.PROCESSED, job):
            if event.job_id != job_id:
                continue
            if event.status == "ok":
                found.ok.add(event.index)
                found.urls.update(output.url for output in event.outputs)
            else:
                found.failed[event.index] = event.failure.code
        return found

    def calls(self, customer: str) -> list[Call]:
        """The customer's calls, as the batch API has kept them in its own journal."""
        calls = history_of(journal.read(self.stack.journal)).calls
        return [call for call in calls if call.customer == customer]

    def state(self) -> str:
        """For the message of a test that fails."""
        lines = [f"everything lies in {self.stack.options.data}"]
        customers = {one.event.customer_id for one in self.records.all_of(topics.JOBS)}
        for customer in sorted(customers):
            counts = {
                topic: len(self.records.of(topic, customer))
                for topic in (*topics.EVENTS_OF, topics.CALLBACKS)
                if self.records.of(topic, customer)
            }
            lines.append(f"{customer}: {counts}")
        return "\n".join([*lines, *self.endings, *self.records.dead_letters])

    # Processes

    async def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Kills a process and waits until the supervisor has started another one."""
        self.killed[name] += 1
        starts = self.stack.supervisor.starts[name]
        self.stack.supervisor.kill(name, signal_number)
        await self.until(
            f"a new {name}", lambda: self.stack.supervisor.starts[name] > starts, RESTART_SECONDS
        )

    def start(self, name: str) -> None:
        """Starts a process that was stopped."""
        self.killed[name] += 1
        self.stack.supervisor.start(self._program(name))

    def forgive(self) -> None:
        """Whatever has died so far counts as killed."""
        self.killed = Counter(self.stack.supervisor.starts)

    def memory_mib(self) -> dict[str, float]:
        """What each process holds now."""
        held = {}
        for name in self.stack.supervisor.starts:
            status = Path(f"/proc/{self.stack.supervisor.pid(name)}/status").read_text()
            (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
            held[name] = int(line.split()[1]) / 1024
        return held

    def programs(self) -> list[Program]:
        """Every process but those that the stack stands on."""
        data = self.stack.options.data
        ports: dict[str, int] = json.loads((data / "ports.json").read_text())
        keys = {path.name: path for path in (data / "secrets").iterdir()}
        return programs(self.stack, ports, keys)

    def _program(self, name: str) -> Program:
        return next(one for one in self.programs() if one.name == name)


@asynccontextmanager
async def started(options: LocalOptions) -> AsyncIterator[Road]:
    """A stack for the block, with all that it leaves behind in its data folder; it has to end cleanly."""
    endings: list[str] = []

    def output(name: str, line: str) -> None:
        if line.startswith(("ended with", "did not end")):
            endings.append(f"{name} {line}")

    async with running(options, tell=lambda _name, _line: None, output=output) as stack:
        road = Road(stack, endings)
        try:
            yield road
        finally:
            road.records.close()
    unclean = [ending for ending in endings if "did not end" in ending]
    assert not unclean, f"{unclean}; see {options.data}"
