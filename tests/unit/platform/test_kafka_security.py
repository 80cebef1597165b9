"""Who a Kafka client believes and who it is: contradictions and files that are no good are named by their variable."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from tests.hostile.certificates import Authority

from imagelane.platform.groups import client_properties
from imagelane.platform.kafka_security import SecuritySettings, on_loopback
from imagelane.platform.settings import KafkaSettings, ServiceSettings, SettingsError, load

AWAY = "kafka.example.com:9093"


def _write_key(
    path: Path, key: ec.EllipticCurvePrivateKey, protection: KeySerializationEncryption
) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that may be named, good ones and others."""
    folder = tmp_path_factory.mktemp("security")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "imagelane-intake")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "client.pem").write_bytes(pem)
    _write_key(folder / "client.key", key, NoEncryption())
    _write_key(folder / "locked.key", key, BestAvailableEncryption(b"a password"))
    _write_key(folder / "other.key", ec.generate_private_key(ec.SECP256R1()), NoEncryption())
    (folder / "password").write_text(" s3cret, with=[signs]\n")
    (folder / "empty").write_text("\n")
    return folder


def settings(
    monkeypatch: pytest.MonkeyPatch, folder: Path, servers: str = AWAY, **security: str
) -> KafkaSettings:
    """As a service reads them; a file is named without its folder."""
    monkeypatch.setenv("IMAGELANE_KAFKA__BOOTSTRAP_SERVERS", servers)
    for name, value in security.items():
        path = str(folder / value) if name.endswith("_FILE") else value
        monkeypatch.setenv(f"IMAGELANE_KAFKA__SECURITY__{name}", path)
    return load(ServiceSettings).kafka


TLS = {
    "PROTOCOL": "ssl",
    "CA_FILE": "ca.pem",
    "CERTIFICATE_FILE": "client.pem",
    "KEY_FILE": "client.key",
}
SCRAM = {
    "PROTOCOL": "sasl_ssl",
    "CA_FILE": "ca.pem",
    "USERNAME": "imagelane-intake",
    "PASSWORD_FILE": "password",
}


@pytest.mark.parametrize(
    ("given", "left_out", "named"),
    [
        (SCRAM | {"PASSWORD_FILE": "gone"}, "", "PASSWORD_FILE"),
        (SCRAM | {"PASSWORD_FILE": "empty"}, "", "PASSWORD_FILE: .*is empty"),
        (SCRAM, "PASSWORD_FILE", "PASSWORD_FILE: .*must be set for the protocol sasl_ssl"),
        (SCRAM, "USERNAME", "USERNAME: .*must be set"),
        (SCRAM | {"CA_FILE": "gone"}, "", "CA_FILE"),
        (SCRAM | {"CA_FILE": "password"}, "", "CA_FILE: .*password holds no certificates"),
        (SCRAM | {"CERTIFICATE_FILE": "client.pem"}, "", "CERTIFICATE_FILE: .*contradicts"),
        (SCRAM | {"MECHANISM": "SCRAM"}, "", "MECHANISM"),
        (SCRAM | {"PASSWORD": "s3cret"}, "", "PASSWORD: .*Extra inputs"),
        (TLS, "KEY_FILE", "KEY_FILE: .*must be set for the protocol ssl"),
        (TLS, "CERTIFICATE_FILE", "CERTIFICATE_FILE: .*must be set"),
        (TLS | {"KEY_FILE": "other.key"}, "", "KEY_FILE: .*other.key is not the key of"),
        (TLS | {"KEY_FILE": "locked.key"}, "", "KEY_FILE: .*locked.key is not the key of"),
        (TLS | {"USERNAME": "imagelane-intake"}, "", "USERNAME: .*contradicts"),
        (SCRAM, "PROTOCOL", "PASSWORD_FILE: .*contradicts the protocol plaintext"),
    ],
)
def test_what_is_missing_or_contradicts_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, folder: Path, given: dict[str, str], left_out: str, named: str
) -> None:
    kept = {name: value for name, value in given.items() if name != left_out}
    with pytest.raises(SettingsError, match=f"IMAGELANE_KAFKA__SECURITY__{named}") as refusal:
        settings(monkeypatch, folder, **kept)
    assert "s3cret" not in str(refusal.value)


def test_plaintext_leaves_the_machine_only_where_a_development_setting_says_so(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for server in (AWAY, "10.0.0.7:9092", "localhost:9092,kafka:9092", "localhost.example.com:1"):
        with pytest.raises(SettingsError, match=r"SECURITY__PROTOCOL.*ALLOW_PLAINTEXT=true"):
            settings(monkeypatch, folder, server)
    monkeypatch.setenv("IMAGELANE_KAFKA__ALLOW_PLAINTEXT", "true")
    assert not settings(monkeypatch, folder).security.secures


@pytest.mark.parametrize(
    "server",
    ["localhost:9092", "127.0.0.1:9092", " 127.8.9.1:1", "[::1]:9092", "kafka.localhost:1"],
)
def test_loopback_needs_no_leave(server: str) -> None:
    assert on_loopback(server)
    assert not KafkaSettings(bootstrap_servers=server).security.secures


@pytest.mark.parametrize("name", ["security.protocol", "sasl.password", "ssl.ca.location"])
def test_security_has_no_second_entrance(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str
) -> None:
    monkeypatch.setenv("IMAGELANE_KAFKA__CLIENT", f'{{"{name}": "x"}}')
    with pytest.raises(SettingsError, match=rf"KAFKA__CLIENT: .*{name}.*KAFKA__SECURITY__"):
        settings(monkeypatch, folder, **SCRAM)


@pytest.mark.parametrize("given", [TLS, SCRAM], ids=["certificate", "password"])
def test_clients_take_what_is_set_and_check_the_brokers_name(
    monkeypatch: pytest.MonkeyPatch, folder: Path, given: dict[str, str]
) -> None:
    kafka = settings(monkeypatch, folder, **given)
    properties = client_properties(kafka)
    AdminClient(properties)
    assert properties["ssl.endpoint.identification.algorithm"] == "https"
    assert kafka.security.tls_context().check_hostname
    assert properties.get("sasl.password") in ("s3cret, with=[signs]", None)
    assert "s3cret" not in repr(kafka)


async def test_the_batchers_tls_takes_a_certificate_for_this_very_name_only(tmp_path: Path) -> None:
    authority = Authority.made(tmp_path)
    (tmp_path / "password").write_text("s3cret")
    context = SecuritySettings(
        protocol="sasl_ssl",
        ca_file=authority.ca_file,
        username="imagelane-batcher",
        password_file=tmp_path / "password",
    ).tls_context()
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", ssl=authority.server("localhost")
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        _reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError, match=r"127\.0\.0\.1"):
            await asyncio.open_connection("127.0.0.1", port, ssl=context)


def test_no_client_finds_the_broker_past_these_settings() -> None:
    services = Path(__file__).parents[3] / "services"
    texts = {path: path.read_text() for path in services.rglob("*.py")}
    past = {
        path.relative_to(services).as_posix()
        for path, text in texts.items()
        if '"bootstrap.servers":' in text and "client_properties(" not in text
    }
    assert past == {"ops/imagelane/ops/broker/server.py"}  # whether it is up
