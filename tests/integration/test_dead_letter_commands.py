"""`imagelane dlq` on a real broker: what was put aside is found, shown, replayed and dropped."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imagelane.contracts.codec import UnreadableRecordError, decode, encode
from imagelane.contracts.dead_letters import REPLAY_OF
from imagelane.contracts.events import ImageRequested
from imagelane.platform.dead_letters import send_dead_letter
from imagelane.platform.latest_records import read_records
from imagelane.platform.producer import EventProducer
from imagelane.platform.records import Record
from imagelane.platform.settings import KafkaSettings

pytestmark = pytest.mark.kafka

REQUESTED = ImageRequested(
    customer_id="acme",
    job_id="a" * 32,
    index=7,
    url="https://shop.example/7.jpg",
    recipe="default",
    destination="default",
    occurred_at=datetime(2026, 11, 21, tzinfo=UTC),
)


async def put_aside(kafka: KafkaSettings, *records: Record) -> None:
    producer = EventProducer(kafka, source="/services/downloader")
    for one in records:
        error = UnreadableRecordError("customer_id: is missing")
        await send_dead_letter(producer, one, error, group=kafka.group("downloader"))
    await producer.close()


def record(offset: int, value: bytes, topic: str = "requested") -> Record:
    return Record(topic, 2, offset, b"acme", value, [("trace", b"t")], 1_763_700_000_000)


async def dlq(kafka: KafkaSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "IMAGELANE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "IMAGELANE_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "COLUMNS": "200",
    }
    return await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).with_name("imagelane")), "dlq", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def listed(kafka: KafkaSettings, *arguments: str) -> list[dict[str, Any]]:
    answer = await dlq(kafka, "list", "--json", *arguments)
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


async def test_letters_are_listed_replayed_once_and_dropped_with_a_reason(
    kafka: KafkaSettings,
) -> None:
    mended, broken = record(5, encode(REQUESTED)), record(6, b'{"type": "image.requested.v1"}')
    await put_aside(kafka, mended, mended, broken, record(9, b"\xff", topic="urls"))

    found = {one["place"]: one for one in await listed(kafka)}
    assert set(found) == {"requested/2/5", "requested/2/6", "urls/2/9"}
    assert found["requested/2/5"]["unreadable_today"] is None
    assert "customer_id" in found["requested/2/6"]["unreadable_today"]
    shown = await dlq(kafka, "show", "urls/2/9")
    assert "customer_id: is missing" in shown.stdout
    assert "\\xff" in shown.stdout

    chosen = ("replay", "--topic", "requested", "--by", "maria")
    dry = await dlq(kafka, *chosen, "--dry-run")
    assert "requested/2/5 would be replayed" in dry.stdout
    assert [*read_records(kafka, "requested")] == []

    for code in (0, 1):  # the second time there is nothing left to decide
        answer = await dlq(kafka, *chosen, "--yes")
        assert answer.returncode == code, answer.stderr
        assert "requested/2/6 is left: " in answer.stderr
    (replayed,) = read_records(kafka, "requested")
    assert decode("requested", replayed.value()) == REQUESTED
    assert replayed.key() == b"acme"
    assert dict(replayed.headers() or []) == {
        "trace": b"t",
        REPLAY_OF: b"requested/2/5@1763700000000",
    }

    answer = await dlq(kafka, "drop", "requested/2/6", "--note", "a test", "--by", "maria", "--yes")
    assert answer.returncode == 0, answer.stderr
    assert [one["place"] for one in await listed(kafka)] == ["urls/2/9"]
    decided = {one["place"]: one for one in await listed(kafka, "--all", "--topic", "requested")}
    assert {place: one["decision"] for place, one in decided.items()} == {
        "requested/2/5": "replayed",
        "requested/2/6": "dropped",
    }
    assert (decided["requested/2/6"]["decided_by"], decided["requested/2/6"]["note"]) == (
        "maria",
        "a test",
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list", "--topic", "nothing"), "--topic: 'nothing' has no dead letters"),
        (("list", "--since", "yesterday"), "--since: 'yesterday' is no span of time"),
        (("show", "urls"), "PLACE: 'urls' is no place"),
    ],
)
async def test_wrong_parameters_are_named(
    kafka: KafkaSettings, arguments: tuple[str, ...], told: str
) -> None:
    answer = await dlq(kafka, *arguments)
    assert answer.returncode == 2
    assert told in answer.stderr
