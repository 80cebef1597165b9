"""An authority that a test trusts, and certificates of every doubtful kind."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NAME = "shop.example.com"


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


@dataclass
class Authority:
    """Signs servers' certificates; `ca_file` is what its clients trust."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def made(cls, folder: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named("a test's authority"))
            .issuer_name(_named("a test's authority"))
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        made = cls(folder, key, certificate)
        made.ca_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        return made

    @property
    def ca_file(self) -> Path:
        return self.folder / "authority.pem"

    def server(
        self, name: str = NAME, *, ends_in: timedelta = timedelta(days=1), self_signed: bool = False
    ) -> ssl.SSLContext:
        """A server that shows a certificate for `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = datetime.now(UTC) + ends_in
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(name) if self_signed else self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(days=5))
            .not_valid_after(ends)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.9"))]
                ),
                critical=False,
            )
            .sign(key if self_signed else self.key, hashes.SHA256())
        )
        pem = self.folder / f"{certificate.serial_number}.pem"
        pem.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def client(self, name: str) -> tuple[Path, Path]:
        """A client's certificate and its key, as Strimzi mounts them."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )
        written = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        written[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        written[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return written
