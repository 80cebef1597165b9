"""Faults of the object store: overloaded, broken, hanging, refusing us, mute, and readable late."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from tests.chaos.object_store import Mood, Store
from tests.chaos.starting import Setup
from tests.chaos.system import System
from tests.chaos.trial import Fault, Trial

BUCKET_STORE: Final = Setup(object_store=True)
LOOKING_BACK: Final = Setup(
    object_store=True,
    fetch_patience_seconds=0,
    environment=(("IMAGELANE_PROCESSOR__VERIFY_PUBLIC", "true"),),
)
"""The API gives up at once on what it cannot read, so only what was looked at may be handed to it."""

BROKEN_SECONDS: Final = 12.0
HUNG_SECONDS: Final = 60.0
STRUCK_TIMES: Final = 5
LATE_SECONDS: Final = 5.0

SLOW_DOWN: Final = Mood(status=503)
OFTEN_BROKEN: Final = Mood(status=500, code="InternalError", every=2)
FORBIDDEN: Final = Mood(status=403, code="AccessDenied")
HANGING: Final = Mood(hangs=True)
LOSING: Final = Mood(loses_answers=True, every=3)


def store_of(system: System) -> Store:
    """The stack's object store."""
    assert system.store is not None, "the fault's setup has no object store"
    return system.store


async def troubled(trial: Trial, mood: Mood, seconds: float) -> None:
    """The store is like this for a while, in the middle of the lists; no image may fail for it."""
    system, store = trial.system, store_of(trial.system)
    trial.load(customers=3, images=80)
    await trial.under_way(share=0.1)
    before = store.struck.total()
    store.set(mood)
    system.note("object store", mood=repr(mood))
    trial.load(customers=3, images=40)
    await system.until("requests to the store", lambda: store.struck.total() > before)
    await asyncio.sleep(min(trial.seconds, seconds))
    await system.until(
        "requests to the store", lambda: store.struck.total() >= before + STRUCK_TIMES
    )
    store.set(Mood())
    trial.healed()


async def readable_late(trial: Trial) -> None:
    """Nobody finds an object for the first seconds after it was put: until then its image is in no call."""
    system, store = trial.system, store_of(trial.system)
    before = store.struck["hidden"]
    store.set(Mood(hidden_seconds=LATE_SECONDS))
    system.note("object store", mood="late")
    trial.load(customers=3, images=15)
    await system.until("looks in vain", lambda: store.struck["hidden"] >= before + STRUCK_TIMES)
    await system.finished(trial.jobs)
    store.set(Mood())
    trial.healed()


FAULTS: Final = [
    *(
        Fault(
            f"F09:{name}",
            f"the object store {says}",
            partial(troubled, mood=mood, seconds=seconds),
            BUCKET_STORE,
        )
        for name, says, mood, seconds in (
            ("slow-down", "answers 503 SlowDown", SLOW_DOWN, BROKEN_SECONDS),
            ("broken", "answers 500 to every second request", OFTEN_BROKEN, BROKEN_SECONDS),
            ("forbidden", "answers 403", FORBIDDEN, BROKEN_SECONDS),
            ("hanging", "answers nothing", HANGING, HUNG_SECONDS),
            ("losing", "does it, and loses every third answer", LOSING, BROKEN_SECONDS),
        )
    ),
    Fault("F10", "objects are readable 5 s late", readable_late, LOOKING_BACK),
]
