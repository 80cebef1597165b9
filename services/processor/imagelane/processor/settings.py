"""The processor's settings."""

from __future__ import annotations

import os
from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from imagelane.core.image_formats import DEFAULT_FORMATS, ImageFormat
from imagelane.platform.settings import ServiceSettings, SettingsGroup
from imagelane.platform.store_settings import StoreSettings
from imagelane.processor.confinement import Confinement
from imagelane.processor.core.limits import ImageLimits
from imagelane.processor.decoders import DecoderPolicy

MIB: Final = 1 << 20
BYTES_PER_PIXEL: Final = 16  # the dearest case measured: WebP, with all its copies
BYTES_BESIDE_PIXELS: Final = 192 * MIB


class ProcessorSettings(SettingsGroup):
    """What an image may ask for, and how the children that decode it are held."""

    children: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Decode processes. 0 is one for each core; a container's CPU quota is not seen: set it there.",
    )
    images_ahead: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Originals open per child, so that none waits for the store. With S3 each is held in memory.",
    )
    max_pixels: int = Field(
        default=50_000_000, ge=1, le=1_000_000_000, description="Width times height of an original."
    )
    max_side: int = Field(default=65_535, ge=1, le=65_535, description="Of an original, in pixels.")
    max_scans: int = Field(
        default=64, ge=1, le=10_000, description="Scans of a JPEG, each a pass over all its pixels."
    )
    max_blocks: int = Field(
        default=100_000,
        ge=100,
        le=10_000_000,
        description="Chunks of a PNG; segments of a JPEG, blocks of a GIF and stray bytes before their pixels.",
    )
    memory_bytes: int = Field(
        default=1_024 * MIB,
        ge=BYTES_BESIDE_PIXELS,
        validate_default=True,
        description=f"Address space of a child; at least {BYTES_PER_PIXEL} bytes for each of `max_pixels`"
        f" and {BYTES_BESIDE_PIXELS // MIB} MiB.",
    )
    max_output_bytes: int = Field(
        default=64 * MIB, ge=1, description="One file that a child writes."
    )
    cpu_seconds: int = Field(default=10, ge=1, le=3_600, description="Of a child for one image.")
    wall_seconds: float = Field(
        default=15.0, gt=0, le=3_600, description="For one image, then its child is killed."
    )
    images_per_child: int = Field(
        default=500, ge=1, le=1_000_000, description="Then a fresh child takes its place."
    )
    formats: frozenset[ImageFormat] = Field(
        default=frozenset(DEFAULT_FORMATS),
        min_length=1,
        description="Told by a file's first bytes; the same as the downloader's.",
    )
    public_probe_seconds: float = Field(
        default=60.0,
        ge=0,
        le=3_600,
        description="At its start the processor puts a tiny image into each destination and reads it at its public"
        " URL; so long that may take before it leaves. 0 leaves it out.",
    )
    verify_public: bool = Field(
        default=False,
        description="Looks for every result at its public URL before it is told. Costs a request per output.",
    )
    background: str = Field(
        default="#ffffff",
        pattern=r"^#[0-9a-fA-F]{6}$",
        description="Put behind transparent pixels.",
    )
    keep_copyright: bool = Field(
        default=False,
        description="Lets the EXIF fields Artist and Copyright go on into results; nothing else ever does.",
    )

    @field_validator("memory_bytes")
    @classmethod
    def _holds_the_largest_image(cls, value: int, info: ValidationInfo) -> int:
        needed = info.data.get("max_pixels", 0) * BYTES_PER_PIXEL + BYTES_BESIDE_PIXELS
        if value < needed:
            raise ValueError(f"too little for max_pixels: {needed} bytes are needed")
        return value

    def limits(self) -> ImageLimits:
        """What every request tells the child."""
        red, green, blue = bytes.fromhex(self.background[1:])
        return ImageLimits(
            max_pixels=self.max_pixels,
            max_side=self.max_side,
            max_scans=self.max_scans,
            max_blocks=self.max_blocks,
            formats=tuple(sorted(self.formats)),
            background=(red, green, blue),
            keep_copyright=self.keep_copyright,
        )

    def decoders(self) -> DecoderPolicy:
        """How the children are held."""
        return DecoderPolicy(
            children=self.children or len(os.sched_getaffinity(0)),
            wall_seconds=self.wall_seconds,
            images_per_child=self.images_per_child,
            confinement=Confinement(
                memory_bytes=self.memory_bytes,
                cpu_seconds=self.cpu_seconds,
                output_bytes=self.max_output_bytes,
            ),
        )


class Settings(ServiceSettings):
    """Everything that the processor reads from its environment."""

    store: StoreSettings
    processor: ProcessorSettings = ProcessorSettings()
