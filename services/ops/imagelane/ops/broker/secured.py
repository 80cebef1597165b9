"""A broker that lets in only whom it knows, over TLS, and allows only what its access lists say."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imagelane.ops.broker.jars import BrokerHome, BrokerSetupError
from imagelane.platform.kafka_security import SecuritySettings
from imagelane.platform.secret_files import read_secret

BROKER: Final = "imagelane-broker"
"""The broker's own principal, towards itself and towards its controller."""
MECHANISM: Final = "SCRAM-SHA-512"
NAMES: Final = ("dns:localhost", "ip:127.0.0.1")
CERTIFICATE_DAYS: Final = 3_650
KEYTOOL_SECONDS: Final = 60.0
LISTENERS: Final = {"sasl_ssl": "SASL_SSL", "ssl": "SSL"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key with a certificate that it signs itself: `pem` is what clients believe."""

    keystore: Path
    password_file: Path
    pem: Path


@dataclass(frozen=True, slots=True)
class BrokerSecurity:
    """How clients get in: as `operator` does, who may do everything; others as its access lists say.

    With a password (`sasl_ssl`) the operator is there from the first start on, and makes the others.
    With a certificate (`ssl`) everybody gets in whose certificate `client_ca` has signed.
    """

    certificate: Certificate
    operator: SecuritySettings
    operator_principal: str
    client_ca: Path | None = None

    @property
    def listener(self) -> str:
        """The security protocol of the clients' listener, and its name."""
        return LISTENERS[self.operator.protocol]

    def properties(self) -> dict[str, str]:
        """What the broker's configuration has more, or otherwise."""
        store_password = read_secret(self.certificate.password_file)
        return {
            "listener.security.protocol.map": f"CONTROLLER:SSL,{self.listener}:{self.listener}",
            "inter.broker.listener.name": self.listener,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:CN={BROKER};User:{BROKER};User:{self.operator_principal}",
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self.certificate.keystore),
            "ssl.keystore.password": store_password,
            "ssl.key.password": store_password,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._trusted()),
            # Nobody without the broker's own key talks with the controller.
            "listener.name.controller.ssl.client.auth": "required",
            **(self._scram() if self.listener == "SASL_SSL" else _mutual()),
        }

    def format_arguments(self) -> list[str]:
        """For Kafka's format command: who gets in by a password from the first start on."""
        if self.operator.username is None:
            return []
        users = {self.operator.username: self.operator.password(), BROKER: self._own_password()}
        return [
            f"--add-scram={MECHANISM}=[name={name},password={password}]"
            for name, password in users.items()
        ]

    def _scram(self) -> dict[str, str]:
        module = "org.apache.kafka.common.security.scram.ScramLoginModule"
        login = f'{module} required username="{BROKER}" password="{self._own_password()}";'
        return {
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            f"listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config": login,
        }

    def _own_password(self) -> str:
        return secret_in(self.certificate.keystore.with_name("broker-password"))

    def _trusted(self) -> Path:
        """Whose certificates are believed: the broker's own, towards its controller, and its clients'."""
        if self.client_ca is None:
            return self.certificate.pem
        both = self.certificate.pem.with_name("trusted.pem")
        both.write_bytes(self.certificate.pem.read_bytes() + self.client_ca.read_bytes())
        return both


def _mutual() -> dict[str, str]:
    return {"listener.name.ssl.ssl.client.auth": "required"}


def make_certificate(home: BrokerHome, folder: Path, names: tuple[str, ...] = NAMES) -> Certificate:
    """The broker's certificate for these names, made once in `folder`. Raises `BrokerSetupError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = Certificate(folder / "broker.p12", folder / "keystore-password", folder / "broker.pem")
    if made.pem.exists():
        return made
    secret_in(made.password_file)
    made.keystore.unlink(missing_ok=True)  # of a start that was broken off
    store = ["-keystore", str(made.keystore), "-storepass:file", str(made.password_file)]
    _keytool(
        home,
        *("-genkeypair", "-alias", "broker", "-dname", f"CN={BROKER}", "-storetype", "PKCS12"),
        *("-keyalg", "EC", "-groupname", "secp256r1", "-validity", str(CERTIFICATE_DAYS)),
        *("-ext", f"san={','.join(names)}", "-ext", "bc:critical=ca:true"),
        *("-ext", "ku:critical=digitalSignature,keyCertSign", *store),
    )
    made.pem.write_text(_keytool(home, "-exportcert", "-rfc", "-alias", "broker", *store))
    return made


def secret_in(file: Path) -> str:
    """The secret of the file; a new one is made where there is none, for its owner only."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    return read_secret(file)


def write_properties(file: Path, properties: Mapping[str, str]) -> None:
    """Writes them for a broker, for the owner's eyes only."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    lines = "".join(f"{name}={value}\n" for name, value in properties.items())
    file.write_text(lines, encoding="utf-8")


def _keytool(home: BrokerHome, *arguments: str) -> str:
    """What Java's own tool says; it comes with every Java."""
    tool = home.java.resolve().with_name("keytool")
    try:
        done = subprocess.run(
            [str(tool), *arguments],
            capture_output=True,
            text=True,
            timeout=KEYTOOL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerSetupError(f"the broker's certificate: {error}") from error
    if done.returncode != 0:
        raise BrokerSetupError(f"the broker's certificate: {done.stdout}{done.stderr}")
    return done.stdout
