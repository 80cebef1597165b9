"""The secret that makes a deployment's ids unguessable, as settings of the services that need it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, FilePath, SecretStr, ValidationInfo, field_validator

from imagelane.platform.secret_files import read_secret
from imagelane.platform.settings import SettingsGroup

MIN_SECRET_CHARS: Final = 16


class DeploymentSecretSettings(SettingsGroup):
    """For a service's own group to build on: the same secret for all of them, and for ever."""

    deployment_secret: SecretStr | None = Field(
        default=None,
        description="Makes job ids unguessable; at least 16 characters. Never changes: with another one the"
        " same submission is another job. This, or the file, is needed.",
    )
    deployment_secret_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="A file with the secret instead; white space around it is dropped.",
    )

    @field_validator("deployment_secret_file")
    @classmethod
    def _one_secret(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if "deployment_secret" not in info.data:
            return value  # wrong itself, and told so
        given: SecretStr | None = info.data["deployment_secret"]
        if (value is None) == (given is None):
            raise ValueError("either the secret or a file with it must be set")
        if len(_secret(given, value)) < MIN_SECRET_CHARS:
            raise ValueError(f"the secret must have at least {MIN_SECRET_CHARS} characters")
        return value

    def secret(self) -> bytes:
        """The deployment secret."""
        return _secret(self.deployment_secret, self.deployment_secret_file).encode()


def _secret(given: SecretStr | None, file: Path | None) -> str:
    if given is not None:
        return given.get_secret_value()
    return read_secret(file) if file is not None else ""
