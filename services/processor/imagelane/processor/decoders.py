"""The supervisor of the decode children: as many as cores, one image at a time in each.

Not `ProcessPoolExecutor`: there one abort takes 18 of 20 other images with it. Here a crash, a hang
or a kill costs the image that the child was working on, and a new child takes its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from imagelane.processor.confinement import FILTER, Confinement
from imagelane.processor.decode_process import (
    ChildFailedError,
    ChildGoneError,
    ChildTimedOutError,
    DecodeProcess,
)
from imagelane.processor.messages import Answer
from imagelane.processor.metrics import CHILDREN, DECODING, ENDED_CHILDREN, WAITING


@dataclass(frozen=True, slots=True)
class DecoderPolicy:
    """How many children, how long an image may take by the clock, after how many one is replaced."""

    children: int
    wall_seconds: float
    images_per_child: int
    confinement: Confinement


@dataclass(slots=True, eq=False)
class _Job:
    request: bytes
    descriptors: Sequence[int]
    answer: asyncio.Future[Answer] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    queued_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())


class Decoders:
    """Decode children that are kept running by `run`. Belongs to the running event loop."""

    def __init__(self, policy: DecoderPolicy) -> None:
        self._policy = policy
        self._jobs: deque[_Job] = deque()
        self._second_tries: deque[_Job] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._starting = 0
        self._walls_are_told = False
        self.running: set[DecodeProcess] = set()
        self._log = structlog.get_logger("imagelane.decoders")

    async def run(self) -> None:
        """Keeps the children until it is cancelled. Raises `ChildStartError` in an `ExceptionGroup`."""
        async with asyncio.TaskGroup() as slots:
            for _ in range(self._policy.children):
                slots.create_task(self._keep_one())

    async def decode(
        self, request: bytes, descriptors: Sequence[int], *, fresh: bool = False
    ) -> Answer:
        """Has one image done by the next free child; by one that has done none if it must be `fresh`.

        The descriptors must stay open meanwhile. Raises `ChildFailedError` or `ChildTimedOutError`,
        after which the child is dead and can no longer touch what it was handed.
        """
        job = _Job(request, descriptors)
        (self._second_tries if fresh else self._jobs).append(job)
        self._wake_one()
        return await job.answer

    async def _keep_one(self) -> None:
        while True:
            self._starting += 1
            try:
                child = await DecodeProcess.start(self._policy.confinement)
            finally:
                self._starting -= 1
            self._tell_walls(child)
            self.running.add(child)
            CHILDREN.set(len(self.running))
            try:
                ENDED_CHILDREN.labels(await self._feed(child)).inc()
            finally:
                self.running.discard(child)
                CHILDREN.set(len(self.running))
                await child.end()

    async def _feed(self, child: DecodeProcess) -> str:
        """Hands the child one image after the other until it should make place for another child.

        Returns why it should.
        """
        time = asyncio.get_running_loop().time
        while child.images < self._policy.images_per_child:
            queue = await self._queue_for(child)
            if queue is None:
                return "made_room"
            job = queue.popleft()
            if job.answer.done():
                continue  # given up while it waited
            began_at = time()
            try:
                answer = await child.work(
                    job.request, job.descriptors, wall_seconds=self._policy.wall_seconds
                )
            except ChildGoneError as gone:
                queue.appendleft(job)
                self._log.warning("decoder.gone", pid=child.process.pid, ending=str(gone))
                return "vanished"
            except ChildFailedError as failed:
                ending = await child.end()  # before the image is tried anew
                self._log.warning(
                    "decoder.failed", pid=child.process.pid, reason=str(failed), ending=ending
                )
                _settle(job, failed)
                return "killed_by_limit" if isinstance(failed, ChildTimedOutError) else "crashed"
            WAITING.observe(began_at - job.queued_at)
            DECODING.observe(time() - began_at)
            _settle(job, answer)
        return "recycled"

    async def _queue_for(self, child: DecodeProcess) -> deque[_Job] | None:
        """Where the child's next image waits; None if the child is wanted out of the way."""
        while True:
            if self._second_tries:
                if child.images == 0:
                    return self._second_tries
                if self._starting == 0:
                    return None  # a second try needs a fresh child, and none is on its way
            if self._jobs:
                return self._jobs
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def _tell_walls(self, child: DecodeProcess) -> None:
        if not self._walls_are_told:  # they depend on the machine: the same for all children
            self._walls_are_told = True
            tell = self._log.info if FILTER in child.walls else self._log.warning
            tell("decoders.started", walls=child.walls)

    def _wake_one(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return


def _settle(job: _Job, outcome: Answer | ChildFailedError) -> None:
    if job.answer.done():
        return  # whoever asked has gone
    if isinstance(outcome, ChildFailedError):
        job.answer.set_exception(outcome)
    else:
        job.answer.set_result(outcome)
