"""Handing in over HTTP on the real broker: what was answered 202 is a record on `urls`, under a real key."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from msgspec import UNSET
from tests.integration.gateways import DEPLOYMENT_SECRET, gateway

from imagelane.contracts.events import ListSubmitted
from imagelane.contracts.topics import URLS
from imagelane.core.identity import job_id_of_key, upload_key
from imagelane.ops import key_records
from imagelane.platform.key_log import read_keys
from imagelane.platform.settings import KafkaSettings

pytestmark = pytest.mark.kafka


def handed_in(kafka: KafkaSettings) -> dict[str, ListSubmitted]:
    """Everything that is on `urls` now, by the job that its header names."""
    topic = kafka.topic(URLS)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": kafka.group(f"test-{uuid.uuid4().hex}"),
            "enable.auto.commit": False,
        }
    )
    try:
        places = [TopicPartition(topic, number, 0) for number in range(kafka.strict_partitions)]
        count = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        consumer.assign(places)
        found = [consumer.poll(10) for _ in range(count)]
        return dict(map(submitted_in, filter(None, found)))
    finally:
        consumer.close()


def submitted_in(message: Message) -> tuple[str, ListSubmitted]:
    headers: dict[str, Any] = dict(message.headers() or [])
    value = message.value() or b""
    return headers["imagelane-job-id"].decode(), msgspec.json.decode(value, type=ListSubmitted)


async def ask(url: str, token: str, **more: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/jobs", headers=headers, **more) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def asked_until(status: int, url: str, token: str) -> Any:
    """Asks until the answer has this status: a key is known everywhere within a second."""
    body = {"urls": ["https://a.example/1.jpg"]}
    for _ in range(200):
        found, answer = await ask(url, token, json=body, headers={"Idempotency-Key": "k-1"})
        if found == status:
            return answer
        await asyncio.sleep(0.05)
    pytest.fail(f"it was never answered {status}")


async def test_a_list_is_handed_in_under_a_key_that_is_made_and_revoked_while_it_runs(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    content = b"\n".join(b"https://a.example/%d.jpg" % number for number in range(20_000))
    async with gateway(kafka, tmp_path) as url:
        key, token = await asyncio.to_thread(
            key_records.create, kafka, name="test", customer_id="acme", scopes=["submit", "read"]
        )
        first = await asked_until(202, url, token)
        status, second = await ask(
            url,
            token,
            data=io.BytesIO(content),
            headers={"Content-Type": "text/plain", "Idempotency-Key": "k-2"},
        )
        assert status == 202
        await asyncio.to_thread(key_records.revoke, kafka, key.key_id)
        await asked_until(401, url, token)
    secret = DEPLOYMENT_SECRET.encode()
    found = await asyncio.to_thread(handed_in, kafka)
    assert set(found) == {first["job_id"], second["job_id"]}
    assert first["job_id"] == job_id_of_key(secret, "acme", "k-1")
    assert found[first["job_id"]].urls == ["https://a.example/1.jpg"]
    sha256 = hashlib.sha256(content).hexdigest()
    assert found[second["job_id"]].upload_sha256 == sha256
    assert found[second["job_id"]].urls is UNSET
    place = tmp_path / "private" / upload_key(secret, "acme", "k-2", sha256)
    assert place.read_bytes() == content


async def test_without_a_broker_nobody_is_told_to_be_a_stranger(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    _, token = await asyncio.to_thread(
        key_records.create, kafka, name="test", customer_id="acme", scopes=["submit"]
    )
    elsewhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    async with gateway(elsewhere, tmp_path) as url:
        assert (await ask(url, token, json={"urls": ["https://a.example/1.jpg"]}))[0] == 503


def test_a_customer_has_two_live_keys_and_an_operator_as_many_as_wanted(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    def make(customer_id: str | None) -> str:
        scopes: Any = ["read"] if customer_id else ["operate"]
        made, _ = key_records.create(kafka, name="n", customer_id=customer_id, scopes=scopes)
        return made.key_id

    first, _second = make("acme"), make("acme")
    with pytest.raises(key_records.ApiKeyError, match=first):
        make("acme")
    key_records.revoke(kafka, first)
    key_records.revoke(kafka, first)
    make("acme")
    make("umbra")
    for _ in range(3):
        make(None)
    with pytest.raises(key_records.ApiKeyError, match="no key"):
        key_records.revoke(kafka, "unknown")
    assert len(read_keys(kafka).all()) == 7
    file = tmp_path / "operator"
    new = key_records.keep_local_operator(kafka, file)
    assert new == file.read_text()
    assert key_records.keep_local_operator(kafka, file) is None
    assert len(read_keys(kafka).all()) == 8
    assert json.dumps(new) not in str([one.secret_sha256 for one in read_keys(kafka).all()])
