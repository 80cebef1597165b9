"""What a call will say: which images, under which URLs, in which bytes, under which key.

Everything follows from the customer, the seq, the images, the settings and, where URLs are signed, the
time of the plan, so a plan carries no URLs: its request is built anew for every attempt, and the hash in
the plan proves that it is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from pyroaring import BitMap

from imagelane.contracts.events import BatchRequested
from imagelane.contracts.image_sets import pack, unpack
from imagelane.contracts.parts import CallPlan, PlannedImages
from imagelane.core.destinations import Destination
from imagelane.core.recipes import RECIPES, OutputSpec

MAX_IMAGES: Final = 1_000_000
"""A request of about 100 MB, held in memory while it is sent. An API's own limit is the batcher's affair."""
MAX_PLAN_BYTES: Final = 800_000
"""Of a lane's record, with room for what is added to it until the call ends."""


class UnplannableError(ValueError):
    """A request names a recipe or a destination that this service does not know."""


class ChangedRequestError(Exception):
    """A plan's request would no longer be the one that was frozen: the settings have changed since."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings that a request's bytes depend on."""

    deployment_id: str
    destinations: Mapping[str, Destination]
    callback_url: str | None = None


class NewBatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a request, in the order of its fields."""

    customer: str
    reference: str | UnsetType = UNSET
    callback_url: str | UnsetType = UNSET
    urls: list[str]


def still_open(request: BatchRequested, decided: Callable[[str], BitMap]) -> list[PlannedImages]:
    """The requested images that have no outcome yet, each once, in the order of the request.

    Raises `UnreadableImageSetError`.
    """
    seen: dict[str, BitMap] = {}
    jobs: list[PlannedImages] = []
    for ready in request.jobs:
        taken = seen.setdefault(ready.job_id, decided(ready.job_id))
        images = unpack(ready.images) - taken
        if images:
            seen[ready.job_id] = taken | images
            jobs.append(
                PlannedImages(
                    job_id=ready.job_id,
                    recipe=ready.recipe,
                    destination=ready.destination,
                    images=pack(images),
                )
            )
    return jobs


def freeze(
    request: BatchRequested, jobs: list[PlannedImages], terms: Terms, now: datetime
) -> CallPlan:
    """The plan for these images. Raises `UnplannableError`."""
    callback_url = UNSET if terms.callback_url is None else terms.callback_url
    content = NewBatch(
        customer=request.customer_id,
        callback_url=callback_url,
        urls=list(urls_of(jobs, terms, now)),
    )
    reference = _reference(terms.deployment_id, request, msgspec.json.encode(content))
    body = msgspec.json.encode(msgspec.structs.replace(content, reference=reference))
    return CallPlan(
        seq=request.seq,
        jobs=jobs,
        images=sum(job.images.count for job in jobs),
        reference=reference,
        body_sha256=hashlib.sha256(body).hexdigest(),
        planned_at=now,
        callback_url=callback_url,
    )


def body_of(customer_id: str, plan: CallPlan, terms: Terms) -> bytes:
    """The request's bytes, the same for every attempt. Raises `ChangedRequestError`."""
    try:
        urls = list(urls_of(plan.jobs, terms, plan.planned_at))
    except UnplannableError as error:
        raise ChangedRequestError(f"the planned request cannot be built: {error}") from error
    body = msgspec.json.encode(
        NewBatch(
            customer=customer_id,
            reference=plan.reference,
            callback_url=plan.callback_url,
            urls=urls,
        )
    )
    if hashlib.sha256(body).hexdigest() != plan.body_sha256:
        raise ChangedRequestError(
            "the planned request cannot be built again: a recipe's outputs or a destination's"
            " public_base_url, access or key differ from when it was planned"
        )
    return body


def is_too_old(plan: CallPlan, terms: Terms, now: datetime) -> bool:
    """Whether the signatures of its URLs might not last as long as the call: half of their time is over."""
    lives = [
        one.presigner.seconds
        for job in plan.jobs
        if (one := terms.destinations.get(job.destination)) and one.presigner is not None
    ]
    return bool(lives) and (now - plan.planned_at).total_seconds() > min(lives) / 2


def urls_of(jobs: Iterable[PlannedImages], terms: Terms, planned_at: datetime) -> Iterator[str]:
    """Every URL of a request: job by job, image by image, output by output."""
    for job in jobs:
        outputs, destination = _known(job, terms)
        for index in unpack(job.images):
            for output in outputs:
                address = destination.public_url(job.job_id, index, output)
                yield destination.readable(address, planned_at)


def images_named(
    jobs: Iterable[PlannedImages], urls: frozenset[str], terms: Terms
) -> dict[str, BitMap]:
    """The plan's images of which at least one URL is among these, by job."""
    named: dict[str, BitMap] = {}
    for job in jobs if urls else ():
        outputs, destination = _known(job, terms)
        at_fault = set(map(destination.address_of, urls))
        hit = BitMap(
            index
            for index in unpack(job.images)
            if any(
                destination.public_url(job.job_id, index, output) in at_fault for output in outputs
            )
        )
        if hit:
            named[job.job_id] = named.get(job.job_id, BitMap()) | hit
    return named


def images_of(jobs: Iterable[PlannedImages]) -> dict[str, BitMap]:
    """The images, by job: a plan may name a job several times."""
    images: dict[str, BitMap] = {}
    for job in jobs:
        images[job.job_id] = images.get(job.job_id, BitMap()) | unpack(job.images)
    return images


def is_too_large(jobs: Sequence[PlannedImages]) -> bool:
    """Whether a plan of these images would not fit into a record, or its request into memory."""
    record_bytes = sum(300 + len(job.images.bitmap) for job in jobs)
    return record_bytes > MAX_PLAN_BYTES or sum(job.images.count for job in jobs) > MAX_IMAGES


def _known(job: PlannedImages, terms: Terms) -> tuple[tuple[OutputSpec, ...], Destination]:
    recipe, destination = RECIPES.get(job.recipe), terms.destinations.get(job.destination)
    if recipe is None:
        raise UnplannableError(f"there is no recipe {job.recipe!r}")
    if destination is None:
        raise UnplannableError(f"destination {job.destination!r} is not among the settings")
    return recipe.outputs, destination


def _reference(deployment_id: str, request: BatchRequested, content: bytes) -> str:
    identity = msgspec.json.encode((deployment_id, request.customer_id, request.seq))
    return "v1-" + hashlib.sha256(identity + b"\n" + content).hexdigest()
