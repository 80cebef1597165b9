"""People change their minds: jobs and customers cancelled and deleted while their calls run."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.system import Job
from tests.chaos.trial import Fault, Trial

IMAGES: Final = 150
TAKEN_SECONDS: Final = 10.0
"""By when an order holds. It is a record in Kafka before the command returns."""


async def taken_back(trial: Trial) -> None:
    """The running call finishes, nothing further is sent, and what is deleted is gone; others go on."""
    system = trial.system
    await system.faults(never_end=True)
    jobs = {
        what: trial.submit(what, IMAGES, may_cancel=what != "stays")
        for what in ("cancel-job", "delete-job", "cancel-all", "delete-all", "stays")
    }
    await system.until("calls", lambda: len(system.active_calls(trial.customers)) == len(jobs))
    for what, job in jobs.items():
        if what != "stays":
            await ordered(trial, job, what)
    held_from = time.monotonic() + TAKEN_SECONDS
    await asyncio.sleep(TAKEN_SECONDS)
    await system.faults(never_end=False)
    trial.healed()
    await system.finished(trial.jobs)
    taken = {job.customer for what, job in jobs.items() if what != "stays"}
    quiet = {"from": held_from, "to": time.monotonic()}
    system.history.write("quiet", customers=sorted(taken), **quiet)
    for what, job in jobs.items():
        told = system.onlooker.ends[job.job_id]
        why = None if what == "stays" else what.partition("-")[0]
        assert told.get("cut_short_by") == why, f"{what} has ended as {told}"
        assert bool(told["cancelled"]) == (why is not None), f"{what} has ended as {told}"
    for what in ("delete-job", "delete-all"):
        await system.until(f"the end of {what}'s results", partial(has_gone, trial, jobs[what]))
    again = [trial.submit(what, 30) for what in ("cancel-all", "delete-all")]  # later lists go on
    await system.finished(again)


def has_gone(trial: Trial, job: Job) -> bool:
    """Whether nothing of the job's results is left."""
    return not (trial.system.stack.results / job.job_id).exists()


async def ordered(trial: Trial, job: Job, what: str) -> None:
    """`imagelane cancel` or `imagelane delete`, of the job or of everything of its customer."""
    verb, _, whole = what.partition("-")
    words = [verb, "--customer", job.customer, "--by", "chaos"]
    words += ["--yes"] if verb == "delete" or whole == "all" else []
    words += [job.job_id] if whole == "job" else []
    kafka = trial.system.stack.kafka
    settings = (
        f"IMAGELANE_KAFKA__BOOTSTRAP_SERVERS={kafka.bootstrap_servers}",
        f"IMAGELANE_KAFKA__STRICT_PARTITIONS={kafka.strict_partitions}",
        f"IMAGELANE_KAFKA__SPREAD_PARTITIONS={kafka.spread_partitions}",
    )
    trial.system.note("order", words=words)
    command = str(Path(sys.executable).with_name("imagelane"))
    process = await asyncio.create_subprocess_exec(
        "env", *settings, command, *words, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0, words


FAULTS: Final = [
    Fault("F36", "jobs and customers cancelled and deleted while calls run", taken_back)
]
