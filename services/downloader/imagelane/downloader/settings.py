"""The downloader's settings."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field, PositiveFloat

from imagelane.core.admission import canonical_host
from imagelane.core.image_formats import DEFAULT_FORMATS, ImageFormat
from imagelane.downloader.core.pace import PacePolicy
from imagelane.platform.guarded_http import HttpGuardSettings
from imagelane.platform.settings import ServiceSettings, SettingsGroup
from imagelane.platform.store_settings import StoreSettings

MIB: Final = 1024 * 1024
Domain = Annotated[str, AfterValidator(canonical_host)]


class DownloaderSettings(SettingsGroup):
    """How much is fetched at a time, how often, and how far ahead of the processor."""

    concurrency: int = Field(
        default=64,
        ge=1,
        le=1_024,
        description="Images under way at a time from servers that answer. A quarter as many more may be under"
        " way from servers that have never answered, or that fail.",
    )
    host_concurrency: int = Field(
        default=16, ge=1, le=1_024, description="Of these from one server, at the beginning."
    )
    max_host_concurrency: int = Field(
        default=64, ge=1, le=1_024, description="Of these from one server, never more."
    )
    rates: dict[Domain, PositiveFloat] = Field(
        default={},
        description='Requests a second by domain, such as `{"shop.example": 20}`, for whoever asks for it. All'
        " hosts below a domain share its rate, and count as one server. Redirects are not counted.",
    )
    host_patience_seconds: float = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description="When a server has failed for so long without one answer, its waiting images fail too,"
        " until a probe succeeds.",
    )
    waiting_images: int = Field(
        default=30_000,
        ge=1,
        description="Images that wait for their servers, of all customers; each takes about 2 kB, or 4 kB where it"
        " is the only one of its server.",
    )
    waiting_images_per_customer: int = Field(
        default=12_000,
        ge=1,
        description="Of these of one customer, and never more than there is room left; beyond, the others are"
        " served first.",
    )
    max_image_bytes: int = Field(
        default=25 * MIB, ge=1, le=1_024 * MIB, description="Largest original that is taken."
    )
    retries: int = Field(default=3, ge=0, le=10, description="After failures that may pass.")
    formats: frozenset[ImageFormat] = Field(
        default=frozenset(DEFAULT_FORMATS),
        min_length=1,
        description="Told by a file's first bytes.",
    )
    max_backlog_images: int = Field(
        default=2_000,
        ge=1,
        description="Nothing is fetched while the processor has more unread records than this.",
    )
    max_backlog_bytes: int = Field(
        default=8 * 1_024 * MIB,
        ge=1,
        description="The same in bytes, as the backlog times the mean size of the latest originals.",
    )

    def pace(self) -> PacePolicy:
        """What these settings mean for one server."""
        return PacePolicy(
            start=self.host_concurrency,
            most=self.max_host_concurrency,
            patience_seconds=self.host_patience_seconds,
        )


class Settings(ServiceSettings):
    """Everything that the downloader reads from its environment."""

    store: StoreSettings
    http: HttpGuardSettings = HttpGuardSettings()
    downloader: DownloaderSettings = DownloaderSettings()
