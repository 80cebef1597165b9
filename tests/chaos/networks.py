"""Faults between processes: answers that never come, requests that come late, a broker that is away."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import partial
from typing import Final

from tests.chaos.proxy import Weather
from tests.chaos.starting import SESSION_SECONDS, SETTINGS, Setup
from tests.chaos.trial import Fault, Trial

GIVES_UP_SECONDS: Final = float(SETTINGS["IMAGELANE_BATCH_API__START_SECONDS"])
OF_POSTS: Final = b"POST"
STUCK_SECONDS: Final = 240.0
"""A client that never finds its way back is noticed after two minutes without progress, and its process ends."""
EVERYBODY: Final = Setup(
    behind_proxy=("intake", "downloader", "processor", "batcher", "dispatcher", "gateway")
)
DISPATCHERS: Final = Setup(behind_proxy=("dispatcher",))


async def answers_lost(trial: Trial, fault: str, times: int = 6) -> None:
    """The API takes the call, and its answer is lost or empty.

    Who may not send again looks for the call, and finds it: no more `times` than there are calls, then.
    """
    await trial.system.faults(**{fault: times})
    trial.load(customers=4, images=60)
    await trial.system.until("all faults", lambda: trial.system.posts(trial.customers) >= times)
    trial.healed()


async def answers_cut(trial: Trial) -> None:
    """The proxy resets the connection when the answer to a POST comes."""
    system, before = trial.system, trial.system.api.cuts
    await system.api.set(Weather(cut_answers=True, only=OF_POSTS))
    trial.load(customers=4, images=60)
    await system.until("cut answers", lambda: system.api.cuts >= before + 5)
    await system.api.calm()
    trial.healed()


async def requests_late(trial: Trial) -> None:
    """Requests arrive when the dispatcher has long given up, and has asked again."""
    system = trial.system
    await system.api.set(Weather(late_seconds=GIVES_UP_SECONDS + 2, only=OF_POSTS))
    trial.load(customers=4, images=60)
    await system.until("late requests", lambda: system.posts(trial.customers) >= 5)
    await system.api.calm()
    trial.healed()
    await asyncio.sleep(GIVES_UP_SECONDS + 2)  # the last ones arrive now


async def requests_torn(trial: Trial) -> None:
    """Connections are reset in the middle of a request's bytes."""
    system, before = trial.system, trial.system.api.cuts
    await system.api.set(Weather(reset_after_bytes=500, only=OF_POSTS))
    trial.load(customers=4, images=60)
    await system.until("torn requests", lambda: system.api.cuts >= before + 5)
    await system.api.calm()
    trial.healed()


async def api_unreachable(trial: Trial) -> None:
    """Nothing reaches the API for a while: first no connection at all, then no byte."""
    system = trial.system
    trial.load(customers=4, images=80)
    await trial.under_way()
    await system.api.set(Weather(refuse=True))
    system.api.reset_all()
    await asyncio.sleep(4)
    await system.api.set(Weather(deaf=True, mute=True))
    await asyncio.sleep(6)
    await system.api.calm()
    trial.healed()


async def broker_away(trial: Trial, number: int) -> None:
    """The broker ends, or is killed, and is away for a while."""
    system = trial.system
    trial.load(customers=4, images=150)
    await trial.under_way()
    system.send("kafka", number)
    await system.stop("kafka")
    await asyncio.sleep(min(trial.seconds, 60.0))
    system.start("kafka")
    await asyncio.to_thread(system.stack.broker.wait_ready)
    trial.load(customers=4, images=40)  # everybody has come back to the broker, or these do not end
    trial.healed()


async def broker_answers_lost(trial: Trial) -> None:
    """The broker hears everybody, and nobody hears it; then all connections are reset, again and again."""
    system = trial.system
    trial.load(customers=4, images=150)
    await trial.under_way(share=0.1)
    ends_at = time.monotonic() + min(trial.seconds, 30.0)
    while time.monotonic() < ends_at:
        await system.kafka.set(Weather(mute=True))
        await asyncio.sleep(trial.random.uniform(0.5, 2.5))
        system.kafka.reset_all()
        await system.kafka.calm()
        await asyncio.sleep(trial.random.uniform(0.5, 2.0))
    trial.healed()


async def dispatchers_cut_off(trial: Trial) -> None:
    """The dispatchers reach the API and not the broker: they stop sending within a session."""
    system = trial.system
    for number in range(6):
        trial.submit(f"c{number}", 200)
    await system.until("calls", lambda: system.posts(trial.customers) >= 3)
    system.note("cut off")
    cut_at = time.monotonic()
    await system.kafka.set(Weather(deaf=True, mute=True))
    await asyncio.sleep(SESSION_SECONDS * 3)
    quiet = {"from": cut_at + SESSION_SECONDS, "to": time.monotonic()}
    system.history.write("quiet", customers=sorted(trial.customers), **quiet)
    await system.kafka.calm()
    trial.healed()


FAULTS: Final = [
    *(
        Fault(
            f"F06:{how}",
            f"broker {says}",
            partial(broker_away, number=number),
            settle_seconds=STUCK_SECONDS,
        )
        for how, says, number in (
            ("restart", "restarted", signal.SIGTERM),
            ("killed", "killed and away", signal.SIGKILL),
        )
    ),
    Fault("F07", "the broker's answers are lost", broker_answers_lost, EVERYBODY),
    Fault("F08", "dispatchers cut off from the broker", dispatchers_cut_off, DISPATCHERS),
    Fault(
        "F12:dropped",
        "call taken, connection cut",
        partial(answers_lost, fault="drop_answers_times"),
    ),
    Fault("F12:empty", "call taken, empty 202", partial(answers_lost, fault="empty_answers_times")),
    Fault("F12:cut", "call taken, answer cut by the proxy", answers_cut),
    Fault("F12:torn", "request torn in its middle", requests_torn),
    Fault("F12:away", "API unreachable, then silent", api_unreachable),
    Fault("F13", "requests delivered after our time-out", requests_late),
]
