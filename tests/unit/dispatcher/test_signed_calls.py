"""A call whose URLs are signed: the same bytes at every attempt, and never sent when they would end too early."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from pyroaring import BitMap
from tests.unit.dispatcher.conftest import ACME, JOB, NOW, TERMS, ready, requested, url

from imagelane.contracts.parts import CallPlan
from imagelane.core.destinations import Destination
from imagelane.core.presigning import Presigner
from imagelane.dispatcher.core.plan import (
    ChangedRequestError,
    Terms,
    body_of,
    freeze,
    images_named,
    is_too_old,
    still_open,
)

DAY = 86_400


def terms(key: str = "of the plan", seconds: int = 2 * DAY) -> Terms:
    presigner = Presigner("key", key, "us-east-1", seconds)
    base = TERMS.destinations["default"].public_base_url
    return replace(TERMS, destinations={"default": Destination("default", "", base, presigner)})


def signed_plan() -> CallPlan:
    request = requested(1, ready([1, 2]))
    return freeze(request, still_open(request, lambda _job: BitMap()), terms(), NOW)


def test_every_attempt_has_the_signatures_of_the_plan() -> None:
    kept = msgspec.json.decode(msgspec.json.encode(signed_plan()), type=CallPlan)
    urls = json.loads(body_of(ACME, kept, terms()))["urls"]
    assert [one.partition("?")[0] for one in urls] == [url(1), url(2)]
    assert all("X-Amz-Date=20261121T120000Z&X-Amz-Expires=172800" in one for one in urls)


def test_another_key_does_not_send_what_the_old_one_has_signed() -> None:
    with pytest.raises(ChangedRequestError, match="key differ"):
        body_of(ACME, signed_plan(), terms(key="rotated"))


def test_a_plan_is_sent_in_the_first_half_of_its_signatures_life_only() -> None:
    plan = signed_plan()
    assert not is_too_old(plan, terms(), NOW + timedelta(days=1))
    assert is_too_old(plan, terms(), NOW + timedelta(days=1, seconds=1))
    assert not is_too_old(plan, TERMS, NOW + timedelta(days=1_000))


def test_images_are_found_by_their_urls_with_and_without_signature() -> None:
    plan = signed_plan()
    first, second = json.loads(body_of(ACME, plan, terms()))["urls"]
    named = images_named(plan.jobs, frozenset([first, second.partition("?")[0]]), terms())
    assert named == {JOB: BitMap([1, 2])}
