"""What events are made of: structs that stand inside of them, on no topic of their own."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from imagelane.contracts.fields import (
    CallSeq,
    DestinationName,
    FailureCode,
    Group,
    ImageCount,
    Instant,
    JobId,
    Name,
    Position,
    Reason,
    RecipeName,
    Reference,
    Sha256,
    SizeBytes,
    Text255,
)


class ImageSet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job, as a portable Roaring bitmap of their indexes in base64, readable beside it."""

    count: ImageCount
    bitmap: Annotated[str, Meta(description="Base64 of a portable Roaring bitmap.")]
    ranges: (
        Annotated[str, Meta(description="The same as text, when short: `0-99,103`.")] | UnsetType
    ) = UNSET


class Failure(Struct, frozen=True, kw_only=True):
    """Why an image, or a list, ended without a result. Safe to show to the customer."""

    code: FailureCode
    reason: Reason


class ListedImage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a list that says more than its URL."""

    url: Annotated[str, Meta(description="The image's address.")]
    group: Group | UnsetType = UNSET
    position: Position | UnsetType = UNSET


class Original(Struct, frozen=True, kw_only=True):
    """A downloaded original in the private part of the object store."""

    key: Annotated[str, Meta(description="Its key in the store.")]
    size_bytes: SizeBytes
    sha256: Sha256


class Output(Struct, frozen=True, kw_only=True):
    """One named result of an image."""

    name: Annotated[Name, Meta(description="The output's name in the recipe.")]
    url: Annotated[
        str,
        Meta(
            description="Its address. Everybody can read it there, or, where the destination's access is `presigned`,"
            " whoever is handed the address out with a signature: here it has none."
        ),
    ]
    content_type: Annotated[str, Meta(description="Its media type.")]
    width: Annotated[int, Meta(ge=1, description="In pixels.")]
    height: Annotated[int, Meta(ge=1, description="In pixels.")]
    size_bytes: SizeBytes


class ReadyImages(Struct, frozen=True, kw_only=True):
    """Images of one job that are ready; with the recipe and destination that give their URLs."""

    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    images: ImageSet


class SettledImages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job that have an outcome without a call."""

    job_id: JobId
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET


class JobOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of images of one job. `returned` ones are undecided and may be asked for again."""

    job_id: JobId
    delivered: ImageSet | UnsetType = UNSET
    failed: ImageSet | UnsetType = UNSET
    cancelled: ImageSet | UnsetType = UNSET
    returned: ImageSet | UnsetType = UNSET


class PlannedImages(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Images of one job in a plan, frozen, in the order of the request's body."""

    job_id: JobId
    recipe: RecipeName
    destination: DestinationName
    images: ImageSet


class CallPlan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call as it was frozen before its first byte was sent."""

    seq: CallSeq
    jobs: Annotated[list[PlannedImages], Meta(description="Its images, job by job.")]
    images: ImageCount
    reference: Reference
    body_sha256: Annotated[Sha256, Meta(description="Of the whole request body, in hexadecimal.")]
    planned_at: Annotated[Instant, Meta(description="When it was frozen.")]
    callback_url: (
        Annotated[str, Meta(description="Where the API shall send its webhook.")] | UnsetType
    ) = UNSET


class LaneDecision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person decided about a held call: a `release.lane` that was carried out."""

    decision: Annotated[
        Literal["retry", "treat_as_done", "treat_as_failed"], Meta(description="As commanded.")
    ]
    decided_by: Annotated[Text255, Meta(description="Who decided.")]
    decided_at: Annotated[Instant, Meta(description="When, by the clock of who sent the command.")]
    note: Reason | UnsetType = UNSET


class AttemptsOfImages(Struct, frozen=True, kw_only=True):
    """Images of a job that were sent `attempts` times and came back failed."""

    attempts: Annotated[int, Meta(ge=1, description="How often they were sent.")]
    images: ImageSet


class RecordedTopic(Struct, frozen=True, kw_only=True):
    """A topic as it was made."""

    name: Annotated[str, Meta(description="Without the deployment's prefix.")]
    partitions: Annotated[int, Meta(ge=1, description="How many it has.")]
    topic_id: Annotated[str, Meta(description="Kafka's own: another one means that it was remade.")]


class PartitionCounts(Struct, frozen=True, kw_only=True):
    """How many partitions topics have, by their kind."""

    strict_partitions: Annotated[int, Meta(ge=1, description="The setting of this name.")]
    spread_partitions: Annotated[int, Meta(ge=1, description="The setting of this name.")]
