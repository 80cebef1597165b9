"""What customers and other systems do, and what befalls records on their way."""

from __future__ import annotations

from typing import Final

from tests.model.broker import PARTITIONS
from tests.model.customers import IMAGES, JOBS
from tests.model.scene import Scene

from imagelane.contracts import commands as c
from imagelane.contracts import events as e
from imagelane.contracts.codec import decode
from imagelane.contracts.image_sets import unpack

SPOILED: Final = ("batches", "completed", "callbacks")
REPEATED: Final = (
    "batches",
    "completed",
    "processed",
    "jobs",
    "callbacks",
    "commands",
    "ticks",
)


class HandingIn(Scene):
    """Lists, images, and records that are lost or come again."""

    def images(self, job: int, first: int, more: int, ok: int) -> None:
        """Some images come to the end of the road, or fail on it."""
        customer, job_id = JOBS[job % len(JOBS)]
        for index in range(first % IMAGES, min(first % IMAGES + 1 + more, IMAGES)):
            self._image(customer, job_id, index, ok=ok > 0)

    def seal(self, job: int) -> None:
        customer, job_id = JOBS[job % len(JOBS)]
        self.roads[job_id].is_sealed = True
        self.broker.send(
            e.JobSealed(
                customer_id=customer,
                job_id=job_id,
                recipe="default",
                destination="default",
                images=IMAGES,
                occurred_at=self.clock.at,
            )
        )

    def cancel(self, job: int) -> None:
        customer, job_id = JOBS[job % len(JOBS)]
        self.roads[job_id].is_cancelled = True
        self.broker.send(
            c.CancelJob(
                customer_id=customer, job_id=job_id, decided_by="me", occurred_at=self.clock.at
            )
        )

    def spoil(self, topic: int, partition: int, back: int) -> None:
        """A record is lost: skipped by hand, or broken. Where the sweep runs, images too."""
        topics = (*SPOILED, "processed") if self.setup.sweeps else SPOILED
        place = topics[topic % len(topics)], partition % PARTITIONS
        offset = len(self.broker.logs[place]) - 1 - back
        if offset >= 0:
            self.broker.spoil(place, offset)

    def repeat(self, topic: int, partition: int, back: int) -> None:
        """A record comes once more, or lies where another partitioner would put it."""
        place = REPEATED[topic % len(REPEATED)], partition % PARTITIONS
        log = self.broker.logs[place]
        if back < len(log):
            one = log[-1 - back]
            at = place[1] if back % 2 else 1 - place[1]
            self.broker.append(place[0], at, one.key, one.value)

    def sweep(self) -> None:
        """Intake requests again what the sweep has named."""
        for partition in range(PARTITIONS):
            log = self.broker.logs["missing", partition]
            for record in log[self._swept[partition] :]:
                event: e.ImagesMissing = decode("missing", record.value)
                for index in unpack(event.images):
                    ok = index not in self.roads[event.job_id].failed
                    self._image(event.customer_id, event.job_id, index, ok=ok)
            self._swept[partition] = len(log)

    def _image(self, customer: str, job_id: str, index: int, *, ok: bool) -> None:
        road = self.roads[job_id]
        (road.ok if ok else road.failed).add(index)
        self.broker.send(
            e.ImageProcessed(
                customer_id=customer,
                job_id=job_id,
                index=index,
                url="https://images.test/a.jpg",
                recipe="default",
                destination="default",
                status="ok" if ok else "failed",
                occurred_at=self.clock.at,
                seconds=0.1,
            )
        )
