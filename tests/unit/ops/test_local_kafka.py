"""The broker of `imagelane local`: how each service gets in, and folders that were made in the other way."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagelane.ops.broker import BrokerSetupError
from imagelane.ops.local_kafka import acting_as, environment_for, kcat, start_broker
from imagelane.ops.local_stack import KafkaSecurityKind, LocalOptions
from imagelane.ops.supervisor import Supervisor
from imagelane.platform.kafka_security import SecuritySettings
from imagelane.platform.settings import KafkaSettings

SERVERS = "127.0.0.1:1"


@pytest.fixture
def secured(tmp_path: Path) -> KafkaSettings:
    for name in ("ops", "intake"):
        (tmp_path / f"kafka-{name}").write_text(f"the password of {name}")
    security = SecuritySettings(
        protocol="sasl_ssl", username="imagelane-ops", password_file=tmp_path / "kafka-ops"
    )
    return KafkaSettings(bootstrap_servers=SERVERS, security=security)


def test_each_service_is_told_its_own_name_and_password_file(
    secured: KafkaSettings, tmp_path: Path
) -> None:
    assert environment_for(secured, "intake") == {
        "IMAGELANE_KAFKA__SECURITY__PROTOCOL": "sasl_ssl",
        "IMAGELANE_KAFKA__SECURITY__USERNAME": "imagelane-intake",
        "IMAGELANE_KAFKA__SECURITY__PASSWORD_FILE": str(tmp_path / "kafka-intake"),
    }
    assert acting_as(secured, "intake").security.password() == "the password of intake"


def test_a_broker_in_plaintext_needs_nothing_said(tmp_path: Path) -> None:
    kafka = KafkaSettings(bootstrap_servers=SERVERS)
    assert environment_for(kafka, "intake") == {}
    assert kcat(kafka, tmp_path) == f"kcat -b {SERVERS}"
    assert list(tmp_path.iterdir()) == []


def test_what_kcat_needs_is_in_a_file_for_its_owner_only(
    secured: KafkaSettings, tmp_path: Path
) -> None:
    command = kcat(secured, tmp_path)
    file = Path(command.split()[2])
    assert "the password of ops" not in command
    assert "sasl.password=the password of ops" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("made", "wanted"), [("scram", "plaintext"), ("plaintext", "scram")])
async def test_a_folder_keeps_the_security_that_it_was_made_with(
    tmp_path: Path, made: str, wanted: KafkaSecurityKind
) -> None:
    (tmp_path / "kafka" / "log").mkdir(parents=True)
    (tmp_path / "kafka" / "log" / "meta.properties").touch()
    if made == "scram":
        (tmp_path / "kafka-tls").mkdir()
    options = LocalOptions(data=tmp_path, cache=tmp_path, kafka_security=wanted)
    with pytest.raises(BrokerSetupError, match=f"--kafka-security {made}"):
        await start_broker(options, Supervisor(tmp_path), lambda _name, _line: None)
