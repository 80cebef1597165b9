"""Faults of webhooks, through the gateway's own receiver: doubled, early, late, foreign, forged, lying, none."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import aiohttp
from standardwebhooks import Webhook
from tests.chaos.system import System
from tests.chaos.trial import Fault, Trial

TAKEN: Final = 204
QUICK_SECONDS: Final = 1.0
LARGE_BYTES: Final = 10 * 1024**2
Headers = list[tuple[str, str]]


def told(batch: str, customer: str) -> str:
    """A webhook's body."""
    data = {"id": batch, "customer": customer, "status": "completed", "count": 1}
    return json.dumps({"type": "batch.finished", "timestamp": "2026-11-21T10:00:00Z", "data": data})


def signed(
    system: System, body: str, *, secret: str = "", late: timedelta = timedelta()
) -> Headers:
    """Its headers, with the right secret unless another one is given."""
    right = (system.folder / "secrets" / "webhook").read_text().strip()
    at = datetime.now(UTC) - late
    return [
        ("content-type", "application/json"),
        ("webhook-id", "msg-chaos"),
        ("webhook-timestamp", str(int(at.timestamp()))),
        ("webhook-signature", Webhook(secret or right).sign("msg-chaos", at, body)),
    ]


async def post(
    system: System, body: str | bytes | AsyncIterator[bytes], headers: Headers
) -> tuple[int, float]:
    """The answer's status, and after how many seconds it came; 0 if there was none."""
    url = f"{system.stack.gateway_url}/v1/callbacks/batch"
    raw = body.encode() if isinstance(body, str) else body
    data = io.BytesIO(raw) if isinstance(raw, bytes) else raw  # large bytes make aiohttp warn
    began = time.monotonic()
    try:
        async with system.http.post(url, data=data, headers=headers) as answer:
            status = answer.status
    except (aiohttp.ClientError, OSError):
        status = 0
    return status, time.monotonic() - began


async def out_of_order(trial: Trial) -> None:
    """Doubled and early ones of the API's, and ten times each of ours: of running, unknown and foreign calls."""
    system = trial.system
    await system.faults(webhooks="doubled")
    trial.load(customers=3, images=60)
    await system.until("calls", lambda: system.active_calls(trial.customers))
    known = sorted(system.active_calls(trial.customers))
    answers = []
    for batch in [*known, "b-nobody-knows"]:
        for customer in (*sorted(trial.customers), f"{trial.name}-nobody"):
            body = told(batch, customer)
            answers += [await post(system, body, signed(system, body)) for _ in range(10)]
    wrong = {answer for answer in answers if answer[0] != TAKEN}
    assert not wrong, f"answers to valid webhooks: {wrong}"
    slow = sum(seconds > QUICK_SECONDS for _, seconds in answers)
    assert slow <= len(answers) // 20, f"{slow} of {len(answers)} answers took more than a second"
    body = told(known[0], min(trial.customers))
    status, _ = await post(system, body, signed(system, body, late=timedelta(days=3)))
    assert status == 401, f"three days old: {status}"
    await system.faults(webhooks="early")
    trial.load(customers=3, images=60)
    await system.finished(trial.jobs)
    await system.faults(webhooks="on")
    trial.healed()


async def forged(trial: Trial) -> None:
    """Whatever is wrong with one of them, it is refused, and nothing at all comes of it."""
    system, customer = trial.system, f"{trial.name}-forged"
    trial.load(customers=2, images=60)
    body = told("b-1", customer)
    right = signed(system, body)
    answers = {name: await post(system, *wrong) for name, wrong in forgeries(system, body, right)}
    answers["slow body"] = await post(system, dripping(body.encode()), right)
    accepted = {name: status for name, (status, _) in answers.items() if not refused(name, status)}
    assert not accepted, f"forged webhooks were answered {accepted}"
    await system.onlooker.look_to_end()
    assert not system.onlooker.counts["callbacks", customer], "a forged webhook went into Kafka"
    assert (await post(system, body, right))[0] == TAKEN, "the right one was refused"
    trial.healed()


def refused(name: str, status: int) -> bool:
    """Whether it was; the receiver may end the connection of one that is too large or too slow."""
    allowed = {400, 401, 408, 411, 413, 415}
    return status in (allowed | {0} if name in {"slow body", "large body"} else allowed)


def forgeries(
    system: System, body: str, right: Headers
) -> list[tuple[str, tuple[str | bytes, Headers]]]:
    """Bodies and headers, each wrong in one way."""
    other = "whsec_" + "c2VjcmV0" * 5
    signature = dict(right)["webhook-signature"]

    def with_(name: str, *values: str) -> Headers:
        return [one for one in right if one[0] != name] + [(name, value) for value in values]

    return [
        *((f"without {name}", (body, with_(name))) for name, _ in right[1:]),
        *((f"double {name}", (body, with_(name, value, value))) for name, value in right[1:]),
        ("bad signature", (body, with_("webhook-signature", "v1,AAAA"))),
        ("no base64", (body, with_("webhook-signature", "v1,%%%"))),
        ("other version", (body, with_("webhook-signature", "v1a," + signature[3:]))),
        ("hundred wrong", (body, with_("webhook-signature", " ".join(["v1,AAAA"] * 100)))),
        ("wrong secret", (body, signed(system, body, secret=other))),
        ("old", (body, signed(system, body, late=timedelta(minutes=6)))),
        ("from the future", (body, signed(system, body, late=timedelta(minutes=-6)))),
        ("time is no number", (body, with_("webhook-timestamp", "now"))),
        ("one byte changed", (body.replace("b-1", "b-2"), right)),
        ("serialised again", (json.dumps(json.loads(body), indent=1), right)),
        ("wrong content type", (body, with_("content-type", "text/plain"))),
        ("large body", (b"x" * LARGE_BYTES, right)),
    ]


async def dripping(body: bytes) -> AsyncIterator[bytes]:
    """The body, too slowly."""
    for byte in body[:30]:
        yield bytes([byte])
        await asyncio.sleep(0.5)


async def lying(trial: Trial) -> None:
    """Valid ones say that running calls have ended: only the API's own answer counts."""
    system = trial.system
    await system.faults(never_end=True)
    trial.load(customers=4, images=60)
    await system.until("calls", lambda: len(system.active_calls(trial.customers)) == 4)
    posts = system.posts(trial.customers)
    for _ in range(10):
        for batch in sorted(system.active_calls(trial.customers)):
            for customer in sorted(trial.customers):
                body = told(batch, customer)
                await post(system, body, signed(system, body))
        await asyncio.sleep(0.3)
    assert system.posts(trial.customers) == posts, "a lie has started a call"
    await system.faults(never_end=False)
    trial.healed()


async def none(trial: Trial) -> None:
    """None comes at all: looking alone finds the end of every call."""
    await trial.system.faults(webhooks="off")
    trial.load(customers=4, images=80)
    await trial.system.finished(trial.jobs)
    await trial.system.faults(webhooks="on")
    trial.healed()


FAULTS: Final = [
    Fault("F16", "webhooks doubled, early, late, foreign, unknown", out_of_order),
    Fault("F17", "forged webhooks", forged),
    Fault("F18", "valid webhooks that lie", lying),
    Fault("F19", "no webhooks", none),
]
