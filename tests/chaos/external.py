"""Faults of the external API: refusals, foreign calls, calls that never end, fail or vanish, a wrong token."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import Any, Final

from tests.chaos import networks
from tests.chaos.starting import Setup
from tests.chaos.trial import Fault, Trial

SHORT_SECONDS: Final = 5.0
LEVEL_B: Final = Setup(level="B")
LEVEL_C: Final = Setup(level="C")


async def refused(trial: Trial, status: int) -> None:
    """POSTs and GETs are refused for a while; after `Retry-After`, where it is told, they may come again."""
    system = trial.system
    trial.load(customers=4, images=60)
    await system.faults(
        refuse_times=8, refuse_gets_times=8, refuse_status=status, refuse_retry_after="2"
    )
    await system.until("the refusals", lambda: refusals(trial, status) >= 10)
    await system.faults(refuse_times=0, refuse_gets_times=0, refuse_status=503)
    trial.healed()


def refusals(trial: Trial, status: int) -> int:
    """How often the API has answered so."""
    since = trial.began_at
    return sum(
        entry["kind"] == "answer" and entry["status"] == status and entry["monotonic"] > since
        for entry in trial.system.journal()
    )


async def foreign_call(trial: Trial) -> None:
    """Somebody else has started a call for the customer: ours waits for its end."""
    system = trial.system
    await system.faults(never_end=True)
    customers = [f"{trial.name}-c{number}" for number in range(3)]
    for customer in customers:
        await start_foreign(trial, customer)
    trial.load(customers=3, images=60)
    await system.until("answers of 409", lambda: refusals(trial, 409) >= 3)
    await asyncio.sleep(SHORT_SECONDS)
    await system.faults(never_end=False)
    trial.healed()


async def start_foreign(trial: Trial, customer: str) -> None:
    """Starts a call as a stranger would."""
    system, key = trial.system, f"foreign-{uuid.UUID(int=trial.random.getrandbits(128))}"
    system.history.write("foreign", key=key, customer=customer)
    token = (system.folder / "secrets" / "token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    body = {"customer": customer, "urls": [system.images.url + "/tiny-000000.jpg"]}
    url = f"{system.stack.batch_api_url}/batches"
    async with system.http.post(url, json=body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()


async def for_a_while(trial: Trial, during: dict[str, Any], after: dict[str, Any]) -> None:
    """The API behaves like this while calls run, and is itself again after some seconds."""
    system = trial.system
    trial.load(customers=4, images=60)
    await system.until("calls", lambda: system.active_calls(trial.customers))
    await system.faults(**during)
    await asyncio.sleep(SHORT_SECONDS * 2)
    await system.faults(**after)
    trial.healed()


async def images_fail(trial: Trial, faults: dict[str, Any], end: dict[str, Any]) -> None:
    """Calls fail as a whole, or some of their images: that is recorded, and nothing is lost."""
    system = trial.system
    await system.faults(**faults)
    for number in range(4):
        trial.submit(f"c{number}", 60, may_fail=True)
    await system.finished(trial.jobs)
    await system.faults(**end)
    trial.healed()


async def flapping_list(trial: Trial) -> None:
    """Answers to POSTs are lost, and the list of calls does not show for a while what there is."""
    system = trial.system
    await system.faults(drop_answers_times=4, forget=True)
    trial.load(customers=4, images=60)
    await system.until("lost answers", lambda: system.posts(trial.customers) >= 4)
    await asyncio.sleep(2)
    await system.faults(forget=False)
    trial.healed()


async def token_rotated(trial: Trial) -> None:
    """Our token is no longer valid, until a person puts the right one into its file."""
    system = trial.system
    path = system.folder / "secrets" / "token"
    right = path.read_text()
    trial.load(customers=4, images=60)
    await trial.under_way()
    path.write_text("no longer valid")
    system.note("token", valid=False)
    trial.load(customers=4, images=40)
    await asyncio.sleep(SHORT_SECONDS)
    path.write_text(right)
    trial.healed()


NEVER: Final[dict[str, Any]] = {"never_end": True}
FOO: Final[dict[str, Any]] = {"status_word": "foo"}
GONE: Final[dict[str, Any]] = {"forget": True}

FAULTS: Final = [
    *(
        Fault(f"F11:{status}", f"{status} to everything", partial(refused, status=status))
        for status in (429, 500, 502, 503)
    ),
    *(
        Fault(
            f"F12:dropped-{setup.level}",
            f"call taken, connection cut; level {setup.level}",
            partial(networks.answers_lost, fault="drop_answers_times", times=4),
            setup,
        )
        for setup in (LEVEL_B, LEVEL_C)
    ),
    *(
        Fault(
            f"F13:{setup.level}",
            f"requests delivered after our time-out; level {setup.level}",
            networks.requests_late,
            setup,
        )
        for setup in (LEVEL_B, LEVEL_C)
    ),
    Fault("F14:foreign", "a stranger's call is active", foreign_call),
    Fault("F14:list", "the list forgets for a while; level B", flapping_list, LEVEL_B),
    Fault(
        "F15:endless",
        "calls do not end for a while",
        partial(for_a_while, during=NEVER, after={"never_end": False}),
    ),
    Fault(
        "F15:unknown",
        "a status that nobody knows",
        partial(for_a_while, during=NEVER | FOO, after={"never_end": False, "status_word": None}),
    ),
    Fault(
        "F15:vanished",
        "running calls are not found for a while",
        partial(for_a_while, during=NEVER | GONE, after={"never_end": False, "forget": False}),
    ),
    Fault(
        "F15:failed",
        "whole calls fail",
        partial(images_fail, faults={"fail_batches_times": 3}, end={"fail_batches_times": 0}),
    ),
    Fault(
        "F15:partial",
        "some images of calls fail",
        partial(images_fail, faults={"fail_urls": ["/[0-9]*7/image"]}, end={"fail_urls": []}),
    ),
    Fault(
        "F15:refused",
        "calls with some images are refused",
        partial(images_fail, faults={"refuse_urls": ["/[0-9]*7/image"]}, end={"refuse_urls": []}),
    ),
    Fault("F38", "our token is wrong for a while", token_rotated),
]
