"""A call whose URLs are signed: the same bytes at every attempt, and never sent when they would end too early."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace as with_fields
from pyroaring import BitMap
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    NOW,
    TERMS,
    lane,
    policy,
    ready,
    release,
    requested,
    url,
)

from imagelane.contracts.events import CallCompleted
from imagelane.contracts.image_sets import unpack
from imagelane.contracts.parts import CallPlan
from imagelane.core.destinations import Destination
from imagelane.core.presigning import Presigner
from imagelane.dispatcher.core.book import Book
from imagelane.dispatcher.core.draft import Draft
from imagelane.dispatcher.core.plan import (
    ChangedRequestError,
    Terms,
    body_of,
    freeze,
    images_named,
    is_too_old,
    still_open,
)
from imagelane.dispatcher.core.policy import Capabilities
from imagelane.dispatcher.core.step import Kind, Pursuit

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


def outlived_by(
    capabilities: Capabilities, pursuit: Pursuit, *, days: float = 1.5, **of_lane: Any
) -> Draft:
    """The wait before an attempt of a signed plan is over, after so many days."""
    one = lane("planned")
    book = Book(lanes={ACME: with_fields(one, plan=signed_plan(), **of_lane)})
    book.pursuits[ACME] = pursuit
    then = NOW + timedelta(days=days)
    made = Draft(book, terms(), policy(capabilities), then, luck=lambda: 1.0)
    made.step_done(ACME, pursuit, None)
    return made


def given_up(made: Draft) -> bool:
    """Whether its images return, and a new call may follow."""
    if made.lane(ACME).state != "idle":
        return False
    (answer,) = made.told
    assert isinstance(answer, CallCompleted)
    assert (answer.status, answer.max_images) == ("refused", UNSET)
    returned = answer.jobs[0].returned
    assert returned is not UNSET
    assert unpack(returned) == BitMap([1, 2])
    return made.pursuit(ACME) is None


LEVELS: tuple[Capabilities, ...] = get_args(Capabilities)
STATES = ("planned", "submitting", "held")


@pytest.mark.parametrize("level", LEVELS)
def test_a_plan_that_was_never_sent_and_is_too_old_gives_its_images_back(
    level: Capabilities,
) -> None:
    assert given_up(outlived_by(level, Pursuit(Kind.ATTEMPT)))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("level", ["A", "B", "C"])
def test_one_in_doubt_is_looked_for_as_often_as_needed_before(
    level: Capabilities, state: str
) -> None:
    unsure = Pursuit(Kind.ATTEMPT, searches=2, in_doubt=True)
    made = outlived_by(level, unsure, state=state, ambiguous=True, first_attempt_at=NOW)
    search = made.pursuit(ACME)
    assert search == replace(unsure, kind=Kind.FIND, after_seconds=policy(level).drain_seconds)
    assert (made.records(), made.told) == ([], [])
    sure = replace(unsure, searches=3)
    assert given_up(outlived_by(level, sure, state=state, ambiguous=True, first_attempt_at=NOW))


def test_a_key_that_protects_has_cut_the_search_short() -> None:
    looked_for = Pursuit(Kind.ATTEMPT, searches=3)
    young: dict[str, Any] = {"first_attempt_at": NOW + timedelta(days=1.4), "ambiguous": True}
    made = outlived_by("A", looked_for, **young)
    assert made.pursuit(ACME) == replace(
        looked_for, kind=Kind.FIND, after_seconds=policy().drain_seconds, in_doubt=True
    )
    assert given_up(outlived_by("A", replace(looked_for, searches=4), **young))


def test_where_nobody_can_be_asked_a_persons_retry_gives_its_images_back() -> None:
    held = with_fields(lane("held"), plan=signed_plan(), ambiguous=True)
    book = Book(lanes={ACME: held})
    then = NOW + timedelta(days=1.5)

    def draft_now() -> Draft:
        return Draft(book, terms(), policy("D"), then, luck=lambda: 1.0)

    made = draft_now()
    made.release(release("retry"))
    made.apply()
    assert made.lane(ACME).state == "planned"
    assert book.pursuits[ACME] == Pursuit(Kind.ATTEMPT)
    made = draft_now()
    made.step_done(ACME, Pursuit(Kind.ATTEMPT), None)
    assert not made.records()  # a step that is not the lane's any more
    made.step_done(ACME, book.pursuits[ACME], None)
    assert given_up(made)
    (answer,) = made.told
    assert isinstance(answer, CallCompleted)
    assert answer.decision is not UNSET
