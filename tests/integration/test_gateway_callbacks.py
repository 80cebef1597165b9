"""The gateway as a process on the real broker: a webhook that was answered 204 is in Kafka, others are not."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from standardwebhooks import Webhook
from tests.integration.gateways import SECRET, gateway

from imagelane.contracts import codec, topics
from imagelane.core.partitioning import partition_of
from imagelane.platform.settings import KafkaSettings
from imagelane.standin.app import running
from imagelane.standin.fetching import FetchOptions
from imagelane.standin.options import Options
from imagelane.standin.running import Duration

pytestmark = pytest.mark.kafka


def signed(secret: str = SECRET, *, age: timedelta = timedelta(0)) -> tuple[bytes, dict[str, str]]:
    data = {"id": "b-1", "customer": "Kundin Ä", "status": "completed", "count": 1}
    body = json.dumps({"type": "batch.finished", "data": {**data, "reference": "v1-r"}})
    at = datetime.now(UTC) - age
    message = f"msg-{uuid.uuid4().hex}"
    return body.encode(), {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message, at, body),
    }


async def post(url: str, webhook: tuple[bytes, dict[str, str]]) -> int:
    body, headers = webhook
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/callbacks/batch", data=body, headers=headers) as answer,
    ):
        return answer.status


def hints(kafka: KafkaSettings, partitions: int) -> list[Message]:
    """Everything that is on `callbacks` now."""
    topic = kafka.topic(topics.CALLBACKS)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": kafka.group(f"test-{uuid.uuid4().hex}"),
            "enable.auto.commit": False,
        }
    )
    try:
        places = [TopicPartition(topic, number, 0) for number in range(partitions)]
        count = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        consumer.assign(places)
        found = [consumer.poll(10) for _ in range(count)]
        return [message for message in found if message is not None and message.error() is None]
    finally:
        consumer.close()


async def test_a_webhook_that_was_answered_is_in_kafka_under_its_customer(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    async with gateway(kafka, tmp_path) as url:
        assert await post(url, signed()) == 204
        [message] = await asyncio.to_thread(hints, kafka, kafka.strict_partitions)
    key = "Kundin Ä".encode()
    assert message.key() == key
    assert message.partition() == partition_of(key, kafka.strict_partitions)
    hint = codec.decode(topics.CALLBACKS, message.value())
    assert (hint.customer_id, hint.call_id, hint.reference) == ("Kundin Ä", "b-1", "v1-r")
    headers = dict(message.headers() or [])
    assert headers["ce_type"] == b"call.hinted.v1"
    assert headers["ce_source"] == b"/services/gateway"


async def test_forged_webhooks_write_nothing(kafka: KafkaSettings, tmp_path: Path) -> None:
    body, headers = signed()
    forged = [
        (body.replace(b"b-1", b"b-2"), headers),
        (body, {**headers, "webhook-signature": "v1,AAAA"}),
        (body, {name: text for name, text in headers.items() if name != "webhook-signature"}),
        signed("whsec_b3RoZXI="),
        signed(age=timedelta(minutes=6)),
    ]
    async with gateway(kafka, tmp_path) as url:
        assert [await post(url, one) for one in forged] == [401] * len(forged)
        assert await asyncio.to_thread(hints, kafka, kafka.strict_partitions) == []


async def test_the_stand_ins_webhooks_arrive(kafka: KafkaSettings, tmp_path: Path) -> None:
    options = Options(
        journal=tmp_path / "journal",
        duration=Duration(0.05, 0.0),
        fetch=FetchOptions(mode="none"),
        webhook_secret=SECRET,
    )
    async with (
        gateway(kafka, tmp_path) as url,
        running(options) as standin,
        aiohttp.ClientSession() as session,
    ):
        body = {
            "customer": "acme",
            "urls": ["http://127.0.0.1/1.jpg"],
            "callback_url": f"{url}/v1/callbacks/batch",
        }
        async with session.post(f"{standin.url}/batches", json=body) as answer:
            batch = await answer.json()
        for _ in range(1_000):
            if '"webhook"' in options.journal.read_text():
                break
            await asyncio.sleep(0.01)
        [message] = await asyncio.to_thread(hints, kafka, kafka.strict_partitions)
    assert codec.decode(topics.CALLBACKS, message.value()).call_id == batch["id"]


async def test_it_is_ready_with_the_broker_and_its_topics(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    async with (
        gateway(kafka, tmp_path) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/readyz") as answer,
    ):
        assert answer.status == 200, await answer.text()


async def test_without_a_broker_it_is_not_ready_and_takes_no_webhook(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    elsewhere = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    async with gateway(elsewhere, tmp_path) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503
        async with session.get(f"{url}/livez") as answer:
            assert answer.status == 200
        async with asyncio.timeout(10):
            assert await post(url, signed()) == 503
