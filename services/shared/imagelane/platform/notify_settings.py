"""Settings about answers to requesters, for the services that take, show or post them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import Field, FilePath, field_validator

from imagelane.core.notifying import notify_secret
from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import SettingsGroup

MIN_SECRET_CHARS: Final = 32


class NotifyUrlSettings(SettingsGroup):
    """What a `notify_url` may be."""

    allow_http: bool = Field(
        default=False,
        description="Takes a `notify_url` that begins with `http://`, too: for tests and private networks."
        " The same for gateway, intake and notifier.",
    )


class NotifySigningSettings(SettingsGroup):
    """What notices are signed with. A group of its own: intake has the other one, and needs no secret."""

    secret_files: list[FilePath] = Field(
        default_factory=list,
        description="JSON list of files, each with a master secret of at least 32 characters, from which every"
        " customer's secret follows. While one is changed there are two, the new one first: all of them sign.",
    )

    @field_validator("secret_files")
    @classmethod
    def _are_secrets(cls, value: list[Path]) -> list[Path]:
        for file in value:
            if len(_master_in(file)) < MIN_SECRET_CHARS:
                raise ValueError(f"{file} holds no {MIN_SECRET_CHARS} characters")
        return value

    def masters(self) -> list[bytes]:
        """The master secrets, the newest first."""
        return [_master_in(file) for file in self.secret_files]


def secrets_of(masters: Sequence[bytes], customer_id: str) -> list[str]:
    """The customer's secrets, the newest first."""
    return [notify_secret(master, customer_id) for master in masters]


def _master_in(file: Path) -> bytes:
    return read_secret(file).encode()
