"""Settings of the object store: its private part, the destinations of results, and S3 for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, FilePath, ValidationInfo, field_validator

from imagelane.core.presigning import MAX_SECONDS
from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import Name, SettingsGroup

StoreKind = Literal["directory", "s3"]
Place = TypeVar("Place", Path, str)


def place_for(kind: StoreKind | None, wanted: StoreKind, place: Place | None) -> Place | None:
    """The place itself if it is set exactly when the kind of store needs it, else `ValueError`."""
    if kind == wanted and place is None:
        raise ValueError(f"must be set for a store of kind {wanted}")
    if kind not in (wanted, None) and place is not None:
        raise ValueError(f"contradicts the kind {kind}")
    return place


class DestinationSettings(SettingsGroup):
    """One place for results: a folder of a directory store or a bucket, and its public address."""

    kind: StoreKind = Field(default="directory", description="What the results lie in.")
    directory: Path | None = Field(
        default=None, validate_default=True, description="For `directory`: the store's root."
    )
    bucket: str | None = Field(default=None, validate_default=True, description="For `s3`.")
    prefix: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)*$",
        description="A path inside the folder or bucket, with a slash at its end.",
    )
    public_base_url: str = Field(
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="Before `/<job_id>/<index>/<output>.<ext>`; without a slash at its end.",
    )
    access: Literal["public", "presigned"] = Field(
        default="public",
        validate_default=True,
        description="Who may read results: everybody who knows the address, or who has a URL that we signed."
        " `presigned` needs `s3`, the bucket's own address as `public_base_url`, and a key of ours.",
    )
    presigned_seconds: int = Field(
        default=MAX_SECONDS,
        ge=3_600,
        le=MAX_SECONDS,
        description="How long a signed URL can be read. A call's are signed when it is planned, and sent for the"
        " first half of that time only; those of an answer when it is given. No server takes more than 7 days.",
    )

    @field_validator("access")
    @classmethod
    def _can_be_signed(cls, value: str, info: ValidationInfo) -> str:
        if value == "presigned" and info.data.get("kind") == "directory":
            raise ValueError("contradicts the kind directory: only S3 knows signed URLs")
        if value == "presigned" and "?" in str(info.data.get("public_base_url")):
            raise ValueError("contradicts public_base_url, which must be the bucket's own address")
        return value

    @field_validator("directory")
    @classmethod
    def _directory_fits_kind(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return place_for(info.data.get("kind"), "directory", value)

    @field_validator("bucket")
    @classmethod
    def _bucket_fits_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        return place_for(info.data.get("kind"), "s3", value)


class S3Settings(SettingsGroup):
    """How to reach S3, for the private part and for destinations of kind `s3`."""

    endpoint_url: str | None = Field(default=None, description="Empty for AWS itself.")
    region: str = Field(default="us-east-1", description="Any, for servers that have none.")
    access_key_id: str | None = Field(default=None, description="None for the AWS chain.")
    secret_access_key_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="A file with the secret of `access_key_id`; without both, the AWS chain.",
    )
    path_style: bool = Field(
        default=False, description="`<endpoint>/<bucket>/…`, for servers without a name per bucket."
    )
    max_connections: int = Field(
        default=64, ge=1, le=1_000, description="Kept open to the endpoint, by one process."
    )

    def secret(self) -> str | None:
        """What is in the file now."""
        file = self.secret_access_key_file
        return None if file is None else read_secret(file)

    @field_validator("secret_access_key_file")
    @classmethod
    def _both_or_none(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("access_key_id") is None):
            raise ValueError("access_key_id and secret_access_key_file go together")
        return value


class StoreSettings(SettingsGroup):
    """The object store: one private part, and the destinations that jobs may name."""

    private_kind: StoreKind = Field(
        default="directory", description="What accepted lists and originals lie in."
    )
    private_directory: Path | None = Field(
        default=None, validate_default=True, description="For `directory`: the store's root."
    )
    private_bucket: str | None = Field(default=None, validate_default=True, description="For `s3`.")
    private_prefix: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*/)*$",
        description="A path inside the folder or bucket, with a slash at its end.",
    )
    destinations: dict[Name, DestinationSettings] = Field(min_length=1)
    directory_fsync: bool = Field(
        default=False,
        description="Directories: wait for the disk with every write. Off, a loss of power (not of a process) may"
        " take the last seconds' objects; on, a write of 1.4 MB costs 3 ms instead of 0.4.",
    )
    s3: S3Settings = Field(default=S3Settings(), validate_default=True)

    @field_validator("private_directory")
    @classmethod
    def _directory_fits_kind(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return place_for(info.data.get("private_kind"), "directory", value)

    @field_validator("private_bucket")
    @classmethod
    def _bucket_fits_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        return place_for(info.data.get("private_kind"), "s3", value)

    @field_validator("destinations")
    @classmethod
    def _private_is_not_public(
        cls, value: dict[str, DestinationSettings], info: ValidationInfo
    ) -> dict[str, DestinationSettings]:
        for name, one in value.items():
            if _holds(one, info.data):
                raise ValueError(f"destination {name!r} would publish the private part")
        return value

    @field_validator("s3")
    @classmethod
    def _can_sign(cls, value: S3Settings, info: ValidationInfo) -> S3Settings:
        destinations: dict[str, DestinationSettings] = info.data.get("destinations") or {}
        for name, one in destinations.items():
            if one.access == "presigned" and value.access_key_id is None:
                raise ValueError(
                    f"destination {name!r} is presigned, which needs access_key_id and"
                    " secret_access_key_file: what the AWS chain lends ends before its URLs do"
                )
        return value


def _holds(destination: DestinationSettings, private: dict[str, Any]) -> bool:
    """Whether the private part lies in what this destination serves to everybody."""
    prefix: str = private.get("private_prefix") or ""
    if destination.bucket is not None:
        same = destination.bucket == private.get("private_bucket")
        return same and prefix.startswith(destination.prefix)
    directory: Path | None = private.get("private_directory")
    if destination.directory is None or directory is None:
        return False
    served = (destination.directory / destination.prefix).resolve()
    return (directory / prefix).resolve().is_relative_to(served)
