"""Secrets, signatures and strangers' line breaks: handed in everywhere, found in no log, metric or command line."""

from __future__ import annotations

import json
from pathlib import Path

from aiohttp import ClientSession
from tests.e2e.images import Images
from tests.e2e.road import ON_THE_ROAD, Road

pytestmark = ON_THE_ROAD

CANARY = "canary-3f9a1c"
FORGED = '{"event": "forged line", "level": "info"}'
NOT_OURS = {"kafka", "standin"}


async def test_no_secret_and_no_forged_line_is_in_any_log_metric_or_command_line(
    road: Road, images: Images
) -> None:
    good = [f"{url}&X-Amz-Signature={CANARY}-signed" for url in images.urls(5)]
    bad = [
        f"{images.url}/gone.jpg?token={CANARY}-gone",
        f"http://user:{CANARY}-password@127.0.0.1/1.jpg",
        f"http://127.0.0.1:9/refused.jpg?sig={CANARY}-refused",
        f"https://shop.example/\r\n{FORGED}?sig={CANARY}-broken",
        {"url": images.urls(1)[0] + f"&sig={CANARY}-grouped", "group": f"g\n{FORGED}"},
    ]
    async with ClientSession() as session:
        list_url = f"{images.url}/no-such-list?sig={CANARY}-list"
        refused = await road.submit("canary", key="refused", list_url=list_url)
        job = await road.submit("canary", urls=[*good, *bad])
        for token in (f"il_{CANARY}", "il_aaaaaaaaaaaa_" + f"{CANARY}-key"):
            headers = {"Authorization": f"Bearer {token}", "X-Trace": f"{CANARY}-header"}
            address = f"{road.stack.gateway_url}/v1/jobs?customer_id={CANARY}-query"
            async with session.get(address, headers=headers) as answer:
                assert answer.status == 401
        await road.finished(job)
        await road.until("the refusal", lambda: road.refusals(refused))
        texts = {path.name: path.read_text() for path in logs(road)}
        for name, port in road.stack.health_ports.items():
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                texts[f"metrics of {name}"] = await answer.text()
    assert len(road.outcomes(job).failed) >= 3
    texts |= {f"command line of {name}": line for name, line in command_lines(road).items()}
    hidden = {CANARY, *secrets(road)}
    assert {name for name, text in texts.items() for one in hidden if one in text} == set()


async def test_every_line_of_every_log_is_one_event(road: Road) -> None:
    """A line that were not JSON would be somebody else's, or a half of ours."""
    lines = [(path.name, line) for path in logs(road) for line in path.read_text().splitlines()]
    assert len(lines) > 20
    odd = [(name, line) for name, line in lines if not is_event(line)]
    assert odd == []


def is_event(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return "event" in event and event["event"] != "forged line"


def logs(road: Road) -> list[Path]:
    return [path for path in road.stack.logs.glob("*.log") if path.stem not in NOT_OURS]


def command_lines(road: Road) -> dict[str, str]:
    return {
        name: Path(f"/proc/{road.stack.supervisor.pid(name)}/cmdline").read_text()
        for name in road.stack.supervisor.starts
        if name not in NOT_OURS
    }


def secrets(road: Road) -> set[str]:
    folder = road.stack.options.data / "secrets"
    return {path.read_text().strip() for path in folder.iterdir()}
