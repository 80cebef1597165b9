"""A plan's request: the same bytes and key for the same images, and others for others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from msgspec import UNSET
from msgspec.structs import replace as with_fields
from pyroaring import BitMap
from tests.unit.dispatcher.conftest import (
    ACME,
    JOB,
    LATER,
    NOW,
    OTHER_JOB,
    TERMS,
    members,
    planned,
    ready,
    requested,
    url,
)

from imagelane.contracts.image_sets import UnreadableImageSetError
from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES, OutputSpec, Recipe
from imagelane.dispatcher.core.plan import (
    ChangedRequestError,
    UnplannableError,
    body_of,
    freeze,
    images_named,
    images_of,
    is_too_large,
    still_open,
    urls_of,
)

JOBS = [letter * 32 for letter in "abcdefghijklmnopqrstuvwxyz234567"] + [
    f"{letter * 31}a" for letter in "bcdefghijklmnopqrstuvwxyz234567"
]


def nothing(_job: str) -> BitMap:
    return BitMap()


def test_the_body_is_what_the_contract_asks_for() -> None:
    plan = planned([3, 1])
    assert json.loads(body_of(ACME, plan, TERMS)) == {
        "customer": ACME,
        "reference": plan.reference,
        "callback_url": "https://gateway.example/v1/callbacks/batch",
        "urls": [url(1), url(3)],
    }
    assert plan.reference.startswith("v1-")
    assert len(plan.reference) == 67


def test_without_a_callback_url_none_is_sent() -> None:
    request = requested(1, ready([1]))
    plan = freeze(request, still_open(request, nothing), replace(TERMS, callback_url=None), NOW)
    assert plan.callback_url is UNSET
    assert "callback_url" not in json.loads(body_of(ACME, plan, TERMS))


def test_the_same_request_is_the_same_plan_at_any_time() -> None:
    assert planned() == planned()
    request = requested(1, ready(range(10)))
    again = freeze(request, still_open(request, nothing), TERMS, LATER)
    assert again.reference == planned().reference


def test_another_customer_seq_deployment_or_image_has_another_key() -> None:
    one = requested(1, ready([1]))
    plans = [
        freeze(one, still_open(one, nothing), TERMS, NOW),
        freeze(one, still_open(one, nothing), replace(TERMS, deployment_id="other"), NOW),
        planned([1, 2]),
        planned([1], seq=2),
        freeze(with_fields(one, customer_id="b"), still_open(one, nothing), TERMS, NOW),
    ]
    assert len({plan.reference for plan in plans}) == len(plans)


def test_images_with_an_outcome_or_named_twice_are_left_out() -> None:
    request = requested(1, ready([1, 2, 3]), ready([7], OTHER_JOB), ready([3, 4, 5]), ready([1]))
    decided = {JOB: BitMap([2]), OTHER_JOB: BitMap([7])}
    jobs = still_open(request, decided.__getitem__)
    assert [(job.job_id, members(job.images)) for job in jobs] == [(JOB, [1, 3]), (JOB, [4, 5])]
    plan = freeze(request, jobs, TERMS, NOW)
    assert plan.images == 4
    assert images_of(plan.jobs) == {JOB: BitMap([1, 3, 4, 5])}


def test_an_image_is_named_by_any_of_its_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = tuple(OutputSpec(name, "jpg", "image/jpeg", None, 85) for name in ("small", "large"))
    monkeypatch.setitem(RECIPES, "default", Recipe("default", outputs))
    jobs = planned([1, 2]).jobs
    one, *_ = (url for url in urls_of(jobs, TERMS, NOW) if "/2/" in url)
    assert images_named(jobs, frozenset([one]), TERMS) == {JOB: BitMap([2])}


def test_a_set_that_cannot_be_read_is_no_plan() -> None:
    broken = with_fields(ready([1]), images=with_fields(ready([1]).images, bitmap="%%%"))
    with pytest.raises(UnreadableImageSetError):
        still_open(requested(1, broken), nothing)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (ready([1], destination="elsewhere"), "destination 'elsewhere' is not among the settings"),
        (with_fields(ready([1]), recipe="pie"), "there is no recipe 'pie'"),
    ],
)
def test_an_unknown_recipe_or_destination_is_named(job: object, words: str) -> None:
    request = requested(1, job)  # type: ignore[arg-type] # one of the two above
    with pytest.raises(UnplannableError, match=words):
        freeze(request, still_open(request, nothing), TERMS, NOW)


def test_a_plan_whose_settings_have_changed_is_not_sent() -> None:
    moved = {"default": Destination("default", "", "https://elsewhere.example")}
    with pytest.raises(ChangedRequestError, match="public_base_url"):
        body_of(ACME, planned(), replace(TERMS, destinations=moved))
    with pytest.raises(ChangedRequestError, match="not among the settings"):
        body_of(ACME, planned(), replace(TERMS, destinations={}))


def test_the_images_behind_urls_are_found() -> None:
    request = requested(1, ready([1, 2]), ready([1], OTHER_JOB), ready([5]))
    jobs = still_open(request, nothing)
    foreign = "https://images.example/else"
    named = images_named(jobs, frozenset([url(2), url(5), foreign]), TERMS)
    assert named == {JOB: BitMap([2, 5])}
    assert images_named(jobs, frozenset(), replace(TERMS, destinations={})) == {}


def test_a_plan_has_a_bound_in_images_and_in_bytes() -> None:
    many = still_open(requested(1, *(ready(range(250_000), job) for job in JOBS[:4])), nothing)
    assert not is_too_large(many)
    assert is_too_large([*many, *still_open(requested(1, ready([1])), nothing)])
    scattered = still_open(
        requested(1, *(ready(range(0, 65_536, 4), job) for job in JOBS)), nothing
    )
    assert not is_too_large(scattered[:60])
    assert is_too_large(scattered * 2)
