"""A whole stack as the harness sees it: lists in, processes and networks to be harmed, and the checker's verdict."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import json
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from aiohttp import ClientSession
from confluent_kafka import KafkaError, Message, Producer
from tests.chaos import checker
from tests.chaos.history import History, raw_of
from tests.chaos.object_store import Store
from tests.chaos.onlooker import Onlooker
from tests.chaos.proxy import Proxy
from tests.e2e.images import Images

from imagelane.ops.local import LocalStack, programs
from imagelane.ops.supervisor import Program

PATIENCE_SECONDS: Final = 120.0
BAD_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class Job:
    """A list that was handed in."""

    customer: str
    job_id: str
    images: int


@dataclass(slots=True)
class System:
    """One running stack."""

    stack: LocalStack
    images: Images
    history: History
    onlooker: Onlooker
    producer: Producer
    api: Proxy
    kafka: Proxy
    http: ClientSession
    endings: list[str]
    store: Store | None = None
    undelivered: list[str] = field(default_factory=list)
    _numbers: int = 0

    @property
    def folder(self) -> Path:
        """Where everything of this run lies."""
        return self.stack.options.data

    # Lists

    @property
    def bearer(self) -> str:
        """The operator's key, as a header has it."""
        return f"Bearer {(self.folder / 'secrets' / 'operator-key').read_text().strip()}"

    def submit(
        self,
        customer: str,
        count: int,
        *,
        random: Random,
        slow: bool = True,
        may_fail: bool = False,
        may_cancel: bool = False,
    ) -> Job:
        """Hands a list in as another system would, some of its lines leading nowhere.

        `may_fail`: the API fails or refuses images on order, and each of them has to be recorded.
        `may_cancel`: the list is cancelled on its way.
        """
        self._numbers += 1
        key = f"list-{self._numbers}"
        urls = self.images.urls(count, slow=slow)
        bad_lines = sorted(random.sample(range(count), BAD_LINES))
        for index in bad_lines:
            urls[index] = f"{self.images.url}/nowhere-{index}.jpg"
        job = Job(customer, self.job_id(customer, key), count)
        told: dict[str, Any] = {"job": job.job_id, "bad": bad_lines, "may_fail": may_fail}
        told["may_cancel"] = may_cancel
        self.history.write("submit", customer=customer, images=count, **told)
        event = {"customer_id": customer, "idempotency_key": key, "urls": urls}
        self.produce("urls", json.dumps(event).encode())
        return job

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: Iterable[tuple[str, bytes]] = (),
        wait: bool = True,
    ) -> None:
        """Writes a record, with a partitioner that is not ours; `wait` until Kafka has it."""
        self.producer.produce(
            topic,
            value=value,
            key=key,
            partition=partition,
            headers=[*headers],
            on_delivery=self._delivered,
        )
        if wait:
            self.flush()

    def flush(self) -> None:
        """Waits until Kafka has every record that was written."""
        assert not self.producer.flush(30)
        assert not self.undelivered, self.undelivered

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.undelivered.append(str(error))

    def poison(self, topic: str, value: bytes | None, **where: Any) -> None:
        """Writes a record that must become a dead letter."""
        self.history.write("poison", topic=topic, raw=raw_of(value))
        self.produce(topic, value, **where)

    def job_id(self, customer: str, key: str) -> str:
        """The id that the customer's list has by its idempotency key, as docs say."""
        secret = (self.folder / "secrets" / "deployment").read_text().strip().encode()
        parts = [part.encode() for part in ("key", customer, key)]
        message = b"".join(b"%d:%b" % (len(part), part) for part in parts)
        digest = hmac.new(secret, message, hashlib.sha256).digest()[:20]
        return base64.b32encode(digest).decode().lower()

    # What is seen

    async def until(
        self, what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Looks again and again until it holds; fails with the state of everything if it does not."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            await self.onlooker.look()

    async def finished(self, jobs: Iterable[Job], seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until all these jobs are finished, and all records about them are here."""
        waited = {job.job_id: job.customer for job in jobs}
        ends = self.onlooker.ends
        try:
            await self.until("the end of all lists", lambda: waited.keys() <= ends.keys(), seconds)
        except AssertionError as error:
            missing = sorted(waited[job] for job in waited.keys() - ends.keys())
            raise AssertionError(f"{error}: {missing} are missing") from error
        await self.onlooker.look_to_end()
        customers = set(waited.values())
        await self.until("the end of all calls", lambda: not self.active_calls(customers))

    def journal(self) -> list[dict[str, Any]]:
        """The external API's own."""
        return checker.read(self.stack.journal)

    def active_calls(self, customers: set[str]) -> set[str]:
        """The customers' calls that the API works on."""
        active: set[str] = set()
        for entry in self.journal():
            if entry["kind"] == "accepted" and entry["customer"] in customers:
                active.add(entry["batch"])
            elif entry["kind"] == "finished":
                active.discard(entry["batch"])
        return active

    def posts(self, customers: set[str]) -> int:
        """How often the API was asked to start a call for them."""
        return sum(
            entry["kind"] == "request"
            and entry["method"] == "POST"
            and entry.get("customer") in customers
            for entry in self.journal()
        )

    def violations(self, customers: set[str] | None = None) -> list[checker.Violation]:
        """What the checker finds, of these customers' lists or of all."""
        entries = self.history.entries if customers is None else self.history.of(customers)
        return checker.check(entries, self.journal(), self.onlooker.records)

    # Processes

    def note(self, fault: str, **told: object) -> None:
        """Puts a fault into the history."""
        self.history.write("fault", fault=fault, **told)

    def send(self, name: str, number: int) -> None:
        """Sends a signal to a process."""
        self.note(signal.Signals(number).name, process=name)
        self.stack.supervisor.kill(name, number)

    async def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Ends a process and waits until the supervisor has started another one."""
        starts = self.stack.supervisor.starts[name]
        self.send(name, number)
        await self.until(f"a new {name}", lambda: self.stack.supervisor.starts[name] > starts, 60)

    def is_stopped(self, name: str) -> bool:
        """Whether the process is paused by SIGSTOP."""
        pid = self.stack.supervisor.pid(name)
        if pid is None:
            return False
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has just gone
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    async def stop(self, *names: str) -> None:
        """Ends processes in order; they stay away."""
        self.note("stop", processes=names)
        await asyncio.gather(*map(self.stack.supervisor.stop, names))

    def start(self, *names: str, **environment: str) -> None:
        """Starts processes that were stopped, from now on with these settings besides their own."""
        self.note("start", processes=names, environment=environment)
        for name in names:
            program = self._program(name)
            changed = dataclasses.replace(program, environment=program.environment | environment)
            self.stack.supervisor.start(changed)

    def start_through(self, name: str, *words: str) -> None:
        """Starts a process that was stopped, by a command that begins with these words."""
        self.note("start", processes=[name], through=words)
        program = self._program(name)
        changed = dataclasses.replace(program, command=(*words, *program.command))
        self.stack.supervisor.start(changed)

    async def faults(self, **faults: object) -> None:
        """Changes how the external API behaves."""
        self.note("api", **faults)
        url = self.stack.batch_api_url.removesuffix("/v1") + "/control/faults"
        async with self.http.post(url, json=faults) as answer:
            answer.raise_for_status()

    def _program(self, name: str) -> Program:
        ports: dict[str, int] = json.loads((self.folder / "ports.json").read_text())
        keys = {path.name: path for path in (self.folder / "secrets").iterdir()}
        broker = Program("kafka", tuple(self.stack.broker.command), stop_seconds=20.0)
        every = [broker, *programs(self.stack, ports, keys)]
        return next(program for program in every if program.name == name)
