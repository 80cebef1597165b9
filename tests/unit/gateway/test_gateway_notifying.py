"""Secrets of notices: each customer's own, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gateway.conftest import NEW_MASTER, OLD_MASTER, Start

from imagelane.core.notifying import notify_secret


async def test_a_customer_sees_the_secrets_of_its_own_the_newest_first(start: Start) -> None:
    async with start() as gateway:
        answer = await gateway.ask("GET", "/v1/notify-secret")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json == {
            "customer_id": "acme",
            "secrets": [notify_secret(NEW_MASTER, "acme"), notify_secret(OLD_MASTER, "acme")],
        }
        other = gateway.keys.token("umbra", "submit")
        theirs = await gateway.ask("GET", "/v1/notify-secret", token=other)
        assert not set(theirs.json["secrets"]) & set(answer.json["secrets"])
        same = await gateway.ask("GET", "/v1/notify-secret?customer_id=acme")
        assert same.json == answer.json


@pytest.mark.parametrize(
    ("customer", "query", "status", "field"),
    [
        ("umbra", "?customer_id=acme", 403, "customer_id"),
        (None, "", 422, "customer_id"),
        (None, "?customer_id=", 422, "customer_id"),
        ("umbra", "?whose=acme", 422, "whose"),
    ],
)
async def test_anybody_elses_is_refused_by_name(
    start: Start, customer: str | None, query: str, status: int, field: str
) -> None:
    async with start() as gateway:
        token = gateway.keys.token(customer, "operate" if customer is None else "submit")
        answer = await gateway.ask("GET", f"/v1/notify-secret{query}", token=token)
        assert (answer.status, answer.json["field"]) == (status, field)
        assert "whsec" not in answer.body.decode()


async def test_an_operator_sees_whose_it_names(start: Start) -> None:
    async with start() as gateway:
        token = gateway.keys.token(None, "operate")
        answer = await gateway.ask("GET", "/v1/notify-secret?customer_id=acme", token=token)
        assert answer.json["secrets"][0] == notify_secret(NEW_MASTER, "acme")


async def test_without_a_master_secret_there_is_none(start: Start) -> None:
    async with start(masters=()) as gateway:
        assert (await gateway.ask("GET", "/v1/notify-secret")).status == 404


async def test_a_secret_depends_on_master_and_customer_and_is_long() -> None:
    found = {notify_secret(m, c) for m in (NEW_MASTER, OLD_MASTER) for c in ("a", "b", "ab")}
    assert len(found) == 6
    assert {len(one) for one in found} == {len("whsec_") + 44}


@pytest.mark.parametrize(
    "url",
    ["http://shop.example/hook", "https://10.0.0.1/hook", "https://localhost/", "https://u@a.b/"],
)
async def test_a_url_that_may_not_be_posted_to_is_refused_by_name(start: Start, url: str) -> None:
    async with start() as gateway:
        said: dict[str, Any] = {"urls": ["https://a.example/1"], "notify_url": url}
        answer = await gateway.ask("POST", "/v1/jobs", json=said)
        assert answer.status == 422
        assert (answer.json["field"], answer.json["code"]) == ("notify_url", "notify_url_refused")
        assert gateway.kafka.sent == []
