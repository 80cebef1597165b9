"""How Kafka lets a client in: settings, checked with their files at start, and what clients make of them."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    ValidationInfo,
    field_validator,
)

from imagelane.platform.secret_files import read_secret

SECURED_BY_GROUP: Final = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.")
ADDRESSES: Final = frozenset({"bootstrap.servers", "metadata.broker.list"})
NEEDS: Final[dict[str, frozenset[str]]] = {
    "plaintext": frozenset(),
    "ssl": frozenset({"certificate_file", "key_file"}),
    "sasl_ssl": frozenset({"username", "password_file"}),
}
"""Which parts each protocol has, besides the authority's certificate."""


class SecuritySettings(BaseModel):
    """Whom a Kafka client believes, and how it proves who it is. Secrets are files, read at start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["plaintext", "ssl", "sasl_ssl"] = Field(
        default="plaintext",
        description="`ssl`: TLS, and the client is known by its certificate. `sasl_ssl`: TLS, and it is known by"
        " its password. The broker's name is checked in both.",
    )
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="For `sasl_ssl`: how the password is proved."
    )
    ca_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="PEM: who signs brokers' certificates. None for the authorities of the machine.",
    )
    certificate_file: FilePath | None = Field(
        default=None, validate_default=True, description="PEM, for `ssl`: who the client is."
    )
    key_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="PEM, for `ssl`: the private key of `certificate_file`, without a password.",
    )
    username: str | None = Field(
        default=None, validate_default=True, description="For `sasl_ssl`: the principal."
    )
    password_file: FilePath | None = Field(
        default=None,
        validate_default=True,
        description="For `sasl_ssl`: the password of `username`.",
    )

    @field_validator("ca_file")
    @classmethod
    def _has_authorities(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None:
            if info.data.get("protocol") == "plaintext":
                raise ValueError("contradicts the protocol plaintext")
            _require_readable(
                value, lambda: ssl.create_default_context(cafile=value), "holds no certificates"
            )
        return value

    @field_validator("certificate_file", "username")
    @classmethod
    def _fits_protocol(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        _require_fitting(value, info)
        return value

    @field_validator("key_file")
    @classmethod
    def _is_the_certificates(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        _require_fitting(value, info)
        certificate: Path | None = info.data.get("certificate_file")
        if value is not None and certificate is not None:
            _require_readable(
                value,
                lambda: _load_identity(ssl.create_default_context(), certificate, value),
                f"is not the key of {certificate}",
            )
        return value

    @field_validator("password_file")
    @classmethod
    def _holds_a_password(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        _require_fitting(value, info)
        if value is not None:
            _require_readable(value, lambda: read_secret(value), "cannot be read")
            if not read_secret(value):
                raise ValueError(f"{value} is empty")
        return value

    @property
    def secures(self) -> bool:
        """Whether anything but plaintext is spoken."""
        return self.protocol != "plaintext"

    def files(self) -> list[Path]:
        """Every file that is read."""
        named = (self.ca_file, self.certificate_file, self.key_file, self.password_file)
        return [one for one in named if one is not None]

    def password(self) -> str:
        """The password, read anew. Raises `OSError`, and `ValueError` where the protocol has none."""
        if self.password_file is None:
            raise ValueError(f"the protocol {self.protocol} has no password")
        return read_secret(self.password_file)

    def tls_context(self) -> ssl.SSLContext:
        """For clients on Python's own TLS: trusts, checks names and proves as librdkafka would."""
        context = ssl.create_default_context(cafile=self.ca_file)
        # From 3.13 on Python wants extensions that many private authorities leave out; librdkafka does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.certificate_file is not None and self.key_file is not None:
            _load_identity(context, self.certificate_file, self.key_file)
        return context

    def librdkafka_properties(self) -> dict[str, str]:
        """The properties of every client on librdkafka; the password is read anew."""
        if not self.secures:
            return {}
        properties = {
            "security.protocol": self.protocol,
            "ssl.endpoint.identification.algorithm": "https",
        }
        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
        }
        properties |= {name: str(path) for name, path in files.items() if path is not None}
        if self.username is not None:
            properties |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password(),
            }
        return properties


def _require_fitting(value: Path | str | None, info: ValidationInfo) -> None:
    """Raises `ValueError` unless the part is there exactly if the protocol needs it."""
    protocol: str | None = info.data.get("protocol")
    if protocol is None:
        return  # wrong itself, and told so
    needed = info.field_name in NEEDS[protocol]
    if needed and not value:
        raise ValueError(f"must be set for the protocol {protocol}")
    if not needed and value is not None:
        raise ValueError(f"contradicts the protocol {protocol}")


def _require_readable(path: Path, read: Callable[[], object], otherwise: str) -> None:
    """Raises `ValueError` that names the file where it cannot be read, or is not what it should be."""
    try:
        read()
    except ssl.SSLError as error:
        raise ValueError(f"{path} {otherwise} ({error.reason or error})") from None
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None


def _load_identity(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    # With a password given nobody is asked for one on a terminal; a key that has one is refused.
    context.load_cert_chain(certificate, key, password="")


class KafkaAccess(BaseModel):
    """Where the broker is, and how it lets us in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field(
        min_length=1, description="`host:port` of one or more brokers, separated by commas."
    )
    allow_plaintext: bool = Field(
        default=False,
        description="For development: brokers on other machines may be spoken to in plaintext. On loopback they"
        " always may.",
    )
    security: SecuritySettings = Field(default=SecuritySettings(), validate_default=True)
    client: dict[str, str] = Field(
        default_factory=dict,
        description="Further librdkafka properties, as JSON; none of security, which has settings of its own.",
    )

    @field_validator("security")
    @classmethod
    def _plaintext_stays_here(
        cls, value: SecuritySettings, info: ValidationInfo
    ) -> SecuritySettings:
        servers: str = info.data.get("bootstrap_servers", "")
        away = [one for one in servers.split(",") if one and not on_loopback(one)]
        if away and not value.secures and not info.data.get("allow_plaintext"):
            raise ValueError(
                f"plaintext would leave this machine for {away[0].strip()}: set"
                " IMAGELANE_KAFKA__SECURITY__PROTOCOL to ssl or sasl_ssl, or for development"
                " IMAGELANE_KAFKA__ALLOW_PLAINTEXT=true"
            )
        return value

    @field_validator("client")
    @classmethod
    def _leaves_security_alone(cls, value: dict[str, str]) -> dict[str, str]:
        for name in sorted(value):
            if name.startswith(SECURED_BY_GROUP):
                raise ValueError(f"{name} is set by IMAGELANE_KAFKA__SECURITY__… for every client")
            if name in ADDRESSES:
                raise ValueError(f"{name} is set by IMAGELANE_KAFKA__BOOTSTRAP_SERVERS")
        return value


def on_loopback(server: str) -> bool:
    """Whether `host:port` is this very machine, by its address or as `localhost`."""
    host = server.strip().rpartition(":")[0].strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
