"""Webhooks of the stand-in, verified by the library that receivers use."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.unit.standin.conftest import Receiver, Start
from tests.waiting import eventually

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="
BODY = {"customer": "acme", "urls": ["http://127.0.0.1/1.jpg"], "reference": "r-1"}


def read(taken: tuple[bytes, dict[str, str]], secret: str = SECRET) -> Any:
    body, headers = taken
    return Webhook(secret).verify(body, headers)


async def test_a_finished_batch_is_told_with_a_valid_signature(
    start: Start, receiver: Receiver
) -> None:
    async with start(webhook_secret=SECRET) as api:
        _, batch = await api.post({**BODY, "callback_url": receiver.url})
        await receiver.wait_for(1)
        event = read(receiver.taken[0])
        assert event["type"] == "batch.finished"
        assert event["data"] == await api.ended(batch["id"])
        assert event["data"]["reference"] == "r-1"
        with pytest.raises(WebhookVerificationError):
            read(receiver.taken[0], secret="whsec_b3RoZXI=")


async def test_a_webhook_is_repeated_with_the_same_id_until_it_is_taken(
    start: Start, receiver: Receiver
) -> None:
    receiver.answers = [503, 302]
    async with start(webhook_secret=SECRET) as api:
        await api.post({**BODY, "callback_url": receiver.url})
        await receiver.wait_for(3)
        await eventually(lambda: len(api.entries("webhook")) == 3)
        assert [one["status"] for one in api.entries("webhook")] == [503, 302, 204]
        assert len({headers["webhook-id"] for _, headers in receiver.taken}) == 1
        assert all(read(taken) for taken in receiver.taken)


async def test_a_receiver_that_is_not_there_is_noted_and_tried_again(start: Start) -> None:
    async with start(webhook_secret=SECRET) as api:
        await api.post({**BODY, "callback_url": "http://127.0.0.1:1/hook"})
        await eventually(lambda: len(api.entries("webhook")) >= 2)
        assert api.entries("webhook")[0]["status"] == 0
        assert "Connect" in api.entries("webhook")[0]["trouble"]


async def test_webhooks_can_be_doubled(start: Start, receiver: Receiver) -> None:
    async with start(webhook_secret=SECRET) as api:
        await api.order(webhooks="doubled")
        await api.post({**BODY, "callback_url": receiver.url})
        await receiver.wait_for(2)
        assert receiver.taken[0][0] == receiver.taken[1][0]


async def test_an_early_webhook_lies_before_the_post_is_answered(
    start: Start, receiver: Receiver
) -> None:
    async with start(webhook_secret=SECRET) as api:
        await api.order(webhooks="early", never_end=True)
        status, batch = await api.post({**BODY, "callback_url": receiver.url})
        assert (status, len(receiver.taken)) == (202, 1)
        assert read(receiver.taken[0])["data"]["status"] == "completed"
        assert (await api.get(f"/{batch['id']}"))[1]["status"] == "active"


async def test_an_early_webhook_without_a_receiver_does_not_hold_the_answer_up(
    start: Start,
) -> None:
    async with start(webhook_secret=SECRET) as api:
        await api.order(webhooks="early", never_end=True)
        async with asyncio.timeout(30):
            status, _ = await api.post({**BODY, "callback_url": "http://127.0.0.1:1/hook"})
        assert status == 202


@pytest.mark.parametrize("secret", [SECRET, None])
async def test_webhooks_can_be_off(start: Start, receiver: Receiver, secret: str | None) -> None:
    async with start(webhook_secret=secret) as api:
        if secret:
            await api.order(webhooks="off")
        _, batch = await api.post({**BODY, "callback_url": receiver.url})
        await api.ended(batch["id"])
        await asyncio.sleep(0.05)
        assert not receiver.taken
