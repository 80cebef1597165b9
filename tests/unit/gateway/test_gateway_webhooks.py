"""The webhook receiver: true ones become hints, forged ones change nothing, Kafka comes before the answer."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict
from standardwebhooks import Webhook
from tests.unit.gateway.conftest import OLD_SECRET, SECRET, Gateway, Start

from imagelane.platform.producer import DeliveryError

DATA = {"id": "b-1", "customer": "acme", "status": "completed", "count": 3, "reference": "v1-r"}
EVENT = {"type": "batch.finished", "timestamp": "2026-11-21T12:00:00Z", "data": DATA}


@dataclass(frozen=True)
class Message:
    """A webhook as it goes over the wire."""

    body: bytes
    headers: tuple[tuple[str, str], ...]

    def with_header(self, name: str, value: str | None) -> Message:
        others = tuple(one for one in self.headers if one[0] != name)
        return replace(self, headers=(*others, (name, value)) if value is not None else others)

    @property
    def signature(self) -> str:
        return dict(self.headers)["webhook-signature"]


def signed(
    body: bytes | None = None,
    *,
    secret: str = SECRET,
    late_by: timedelta = timedelta(0),
    **data: object,
) -> Message:
    raw = json.dumps({**EVENT, "data": {**DATA, **data}}).encode() if body is None else body
    at = datetime.now(UTC) - late_by
    headers = {
        "content-type": "application/json",
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg-1", at, raw.decode()),
    }
    return Message(raw, tuple(headers.items()))


async def send(gateway: Gateway, message: Message) -> int:
    async with gateway.session.post(
        f"{gateway.url}/v1/callbacks/batch",
        data=io.BytesIO(message.body),
        headers=CIMultiDict(message.headers),
    ) as answer:
        return answer.status


async def test_a_signed_webhook_becomes_a_hint_and_is_answered_204(start: Start) -> None:
    async with start() as gateway:
        assert await send(gateway, signed()) == 204
        [hint] = gateway.kafka.sent
        assert (hint.customer_id, hint.call_id, hint.reference) == ("acme", "b-1", "v1-r")
        assert abs(hint.occurred_at - datetime.now(UTC)) < timedelta(seconds=10)


async def test_both_secrets_of_a_rotation_are_taken(start: Start) -> None:
    async with start() as gateway:
        assert await send(gateway, signed(secret=OLD_SECRET)) == 204


async def test_one_good_signature_among_several_is_enough(start: Start) -> None:
    message = signed()
    several = f"v1a,AAAA {signed(secret='whsec_b3RoZXI=').signature} {message.signature}"
    async with start() as gateway:
        assert await send(gateway, message.with_header("webhook-signature", several)) == 204


async def test_a_repeated_webhook_is_only_another_hint(start: Start) -> None:
    message = signed()
    async with start() as gateway:
        assert [await send(gateway, message) for _ in range(3)] == [204] * 3


async def test_a_content_type_with_a_charset_is_still_json(start: Start) -> None:
    message = signed().with_header("content-type", "application/json; charset=utf-8")
    async with start() as gateway:
        assert await send(gateway, message) == 204


def changed_by_a_byte(message: Message) -> Message:
    return replace(message, body=message.body.replace(b"acme", b"acmf"))


def written_again(message: Message) -> Message:
    return replace(message, body=json.dumps(json.loads(message.body), indent=1).encode())


FORGED: dict[str, tuple[Callable[[], Message], int]] = {
    "no signature": (lambda: signed().with_header("webhook-signature", None), 401),
    "no id": (lambda: signed().with_header("webhook-id", None), 401),
    "no timestamp": (lambda: signed().with_header("webhook-timestamp", None), 401),
    "an empty signature": (lambda: signed().with_header("webhook-signature", ""), 401),
    "a signature that is no base64": (
        lambda: signed().with_header("webhook-signature", "v1,%%%"),
        401,
    ),
    "a signature without a version": (
        lambda: signed().with_header("webhook-signature", signed().signature[3:]),
        401,
    ),
    "a good signature under v1a only": (
        lambda: signed().with_header("webhook-signature", "v1a" + signed().signature[2:]),
        401,
    ),
    "a hundred wrong signatures": (
        lambda: signed().with_header(
            "webhook-signature",
            " ".join(f"v1,{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(100)),
        ),
        401,
    ),
    "another secret": (lambda: signed(secret="whsec_b3RoZXI="), 401),
    "301 s old": (lambda: signed(late_by=timedelta(seconds=301)), 401),
    "301 s ahead": (lambda: signed(late_by=timedelta(seconds=-302)), 401),
    "an old one under a fresh timestamp": (
        lambda: signed(late_by=timedelta(days=3)).with_header(
            "webhook-timestamp", str(int(time.time()))
        ),
        401,
    ),
    "a timestamp that is no number": (
        lambda: signed().with_header("webhook-timestamp", "nan"),
        401,
    ),
    "an endless timestamp": (lambda: signed().with_header("webhook-timestamp", "9" * 400), 401),
    "another id": (lambda: signed().with_header("webhook-id", "msg-2"), 401),
    "a body changed by one byte": (lambda: changed_by_a_byte(signed()), 401),
    "the same JSON written again": (lambda: written_again(signed()), 401),
    "bytes that are not UTF-8": (lambda: replace(signed(), body=b"\xff\xfe"), 401),
    "an empty body": (lambda: replace(signed(), body=b""), 401),
    "a signature header given twice": (
        lambda: replace(signed(), headers=(*signed().headers, ("webhook-signature", "v1,AAAA"))),
        400,
    ),
    "another content type": (lambda: signed().with_header("content-type", "text/plain"), 400),
    "a compressed body": (
        lambda: replace(
            signed().with_header("content-encoding", "gzip"), body=gzip.compress(signed().body)
        ),
        400,
    ),
    "10 MB": (lambda: replace(signed(), body=b"x" * 10_000_000), 413),
    "a byte more than 256 KB": (lambda: signed(json.dumps("x" * (256 * 1024 - 1)).encode()), 413),
    "no JSON, though signed": (lambda: signed(b"hello"), 400),
    "no data": (lambda: signed(b'{"type": "batch.finished"}'), 400),
    "no customer": (lambda: signed(b'{"data": {"id": "b-1"}}'), 400),
    "an empty customer": (lambda: signed(customer=""), 400),
    "a customer of another type": (lambda: signed(customer=7), 400),
    "a customer that is too long": (lambda: signed(customer="a" * 256), 400),
    "a customer with a control character": (lambda: signed(customer="a\nb"), 400),
    "a customer with half a character": (
        lambda: signed(rb'{"data": {"id": "b-1", "customer": "\ud800"}}'),
        400,
    ),
    "no call": (lambda: signed(b'{"data": {"customer": "acme"}}'), 400),
    "an empty call": (lambda: signed(id=""), 400),
    "a body nested ever deeper": (lambda: signed(b'{"data":' * 20_000), 400),
}


@pytest.mark.parametrize("case", FORGED)
async def test_a_forged_or_malformed_webhook_is_refused_and_reaches_nobody(
    start: Start, case: str
) -> None:
    forge, status = FORGED[case]
    async with start() as gateway:
        assert await send(gateway, forge()) == status
        assert gateway.kafka.sent == []
        assert await send(gateway, signed()) == 204


async def test_a_slow_body_is_answered_408(start: Start) -> None:
    async def drip() -> Any:
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.05)

    message = signed()
    async with (
        start() as gateway,
        gateway.session.post(
            f"{gateway.url}/v1/callbacks/batch", data=drip(), headers=dict(message.headers)
        ) as answer,
    ):
        assert answer.status == 408
        assert gateway.kafka.sent == []


async def test_an_endless_body_is_answered_413_before_it_ends(start: Start) -> None:
    sent = 0

    async def flood() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b"x" * 65_536

    message = signed()
    async with (
        start() as gateway,
        gateway.session.post(
            f"{gateway.url}/v1/callbacks/batch", data=flood(), headers=dict(message.headers)
        ) as answer,
    ):
        assert answer.status == 413
        assert sent < 50_000_000


async def test_a_reference_that_is_none_of_ours_does_not_matter(start: Start) -> None:
    async with start() as gateway:
        assert await send(gateway, signed(reference="")) == 204
        assert await send(gateway, signed(reference="r" * 256)) == 204
        assert [hint.reference for hint in gateway.kafka.sent] == [msgspec.UNSET] * 2


@pytest.mark.parametrize("mood", ["refuses", "never answers"])
async def test_without_kafka_the_answer_is_503_and_comes_quickly(start: Start, mood: str) -> None:
    async with start() as gateway:
        gateway.kafka.mood = mood
        asked = time.monotonic()
        assert await send(gateway, signed()) == 503
        assert time.monotonic() - asked < 20
        assert not gateway.failed.done()


async def test_a_producer_beyond_repair_ends_the_gateway(start: Start) -> None:
    async with start() as gateway:
        gateway.kafka.mood = "broken"
        assert await send(gateway, signed()) == 503
        assert isinstance(gateway.failed.exception(), DeliveryError)


async def test_without_a_secret_nobody_is_believed(start: Start) -> None:
    async with start(secrets=()) as gateway:
        assert await send(gateway, signed()) == 404
        assert gateway.kafka.sent == []


async def test_only_posts_are_webhooks(start: Start) -> None:
    async with start() as gateway:
        for method in ("GET", "PUT", "DELETE"):
            async with gateway.session.request(
                method, f"{gateway.url}/v1/callbacks/batch"
            ) as answer:
                assert answer.status == 405
