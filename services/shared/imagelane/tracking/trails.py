"""The steps of an image or a job, put in causal order. Pure.

Clocks of different machines differ, so a time alone does not say what came first: a step is never
shown before what caused it, whatever its clock said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pyroaring import BitMap

from imagelane.tracking.image_views import instant, reason_of
from imagelane.tracking.steps import KINDS, Kind
from imagelane.tracking.views import Step

Row = Mapping[str, Any]
_CALL: Final = (Kind.CALL_PLANNED, Kind.CALL_SUBMITTING, Kind.CALL_ACTIVE)
# Causes of causes as well: steps between may be gone, where a topic was compacted before it was read.
_CAUSES: Final[dict[Kind, tuple[Kind, ...]]] = {
    Kind.IMAGE_REQUESTED: (Kind.JOB_ACCEPTED,),
    Kind.JOB_SEALED: (Kind.JOB_ACCEPTED, Kind.IMAGE_REQUESTED),
    Kind.IMAGES_MISSING: (Kind.JOB_SEALED,),
    Kind.IMAGE_DOWNLOADED: (Kind.IMAGE_REQUESTED,),
    Kind.IMAGE_PROCESSED: (Kind.IMAGE_REQUESTED, Kind.IMAGE_DOWNLOADED),
    Kind.IMAGES_SETTLED_FAILED: (Kind.IMAGE_PROCESSED,),
    Kind.BATCH_REQUESTED: (Kind.IMAGE_PROCESSED,),
    Kind.CALL_PLANNED: (Kind.BATCH_REQUESTED,),
    Kind.CALL_SUBMITTING: (Kind.CALL_PLANNED,),
    Kind.CALL_ACTIVE: (Kind.CALL_PLANNED, Kind.CALL_SUBMITTING),
    Kind.CALL_HELD: (Kind.CALL_PLANNED,),
    Kind.RECORDED_DELIVERED: _CALL,
    Kind.RECORDED_FAILED: (Kind.IMAGES_SETTLED_FAILED,),
    Kind.RECORDED_CANCELLED: (Kind.IMAGES_SETTLED_CANCELLED,),
    Kind.CALL_COMPLETED: _CALL,
    Kind.JOB_FINISHED: (
        Kind.JOB_SEALED,
        Kind.RECORDED_DELIVERED,
        Kind.RECORDED_FAILED,
        Kind.RECORDED_CANCELLED,
    ),
    Kind.NOTICE_DELIVERED: (Kind.JOB_FINISHED, Kind.JOB_REFUSED),
    Kind.NOTICE_GIVEN_UP: (Kind.JOB_FINISHED, Kind.JOB_REFUSED),
}
_OF_THE_JOB_ALONE: Final = (Kind.NOTICE_DELIVERED, Kind.NOTICE_GIVEN_UP)
_FIRST_CAUSES_FIRST: Final = sorted(Kind)
_DETAILS: Final = ("round", "outcome", "code", "decided_by", "size_bytes", "seq")


@dataclass(frozen=True, slots=True)
class Taken:
    """A step before it is put in order: when its sender says it was, and what is shown of it."""

    kind: Kind
    at: int
    step: Step


def taken(row: Row) -> Taken:
    """A step from a row of one of the tables of steps."""
    kind = Kind(row["kind"])
    of_kind = KINDS[kind]
    details = {name: row[name] for name in _DETAILS if row.get(name) is not None}
    if of_kind.outcome is not None:
        details["outcome"] = of_kind.outcome
    if row.get("images") is not None:
        details["images"] = len(BitMap.deserialize(row["images"]))
    took_ms = row.get("took_ms")
    return Taken(
        kind,
        row["at"],
        Step(
            kind=of_kind.name,
            at=instant(row["at"]),
            service=of_kind.service,
            topic=of_kind.topic,
            partition=row["partition"],
            offset=row["offset"],
            seconds=None if took_ms is None else took_ms / 1_000,
            reason=reason_of(row.get("code"), row.get("reason")),
            **details,
        ),
    )


def concerns_image(row: Row, index: int) -> bool:
    """Whether a step of a job is about this image: about all of them, or about a set with it."""
    if row["kind"] in _OF_THE_JOB_ALONE:
        return False
    return row["images"] is None or index in BitMap.deserialize(row["images"])


def calls_with(rows: Iterable[Row], index: int, *sets: str) -> list[int]:
    """The numbers of the calls that have the image in one of these sets; `rows` are of `call_images`."""
    return [
        row["seq"] for row in rows if any(index in BitMap.deserialize(row[name]) for name in sets)
    ]


def in_causal_order(steps: Iterable[Taken]) -> list[Step]:
    """By time, but none before the first step of each kind that causes it (within its call, if in one)."""
    every = list(steps)
    firsts: dict[tuple[Kind, int | None], int] = {}
    moments: dict[int, int] = {}
    for kind in _FIRST_CAUSES_FIRST:
        for one in (step for step in every if step.kind == kind):
            moment = max([one.at, *_moments_of_causes(one, firsts)])
            moments[id(one)] = moment
        for one in (step for step in every if step.kind == kind):
            for key in {(kind, one.step.seq), (kind, None)}:
                firsts[key] = min(firsts.get(key, moments[id(one)]), moments[id(one)])
    every.sort(key=lambda one: (moments[id(one)], one.kind, one.step.partition, one.step.offset))
    return [one.step for one in every]


def _moments_of_causes(one: Taken, firsts: Mapping[tuple[Kind, int | None], int]) -> list[int]:
    seq = one.step.seq
    keys = [
        (cause, seq if cause >= Kind.BATCH_REQUESTED else None)
        for cause in _CAUSES.get(one.kind, ())
    ]
    return [firsts[key] for key in keys if key in firsts]
