"""What we deliver of others: pinned by hash, under licences that are allowed, not older than what was mended."""

from __future__ import annotations

import re
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version
from tests.supply_chain import audit, licences, sbom

ROOT = Path(__file__).parents[2]
FLOORS = {
    "aiohttp": "3.14.4",  # PYSEC-2026-4369: a forged Request.scheme
    "pillow": "12.3.0",
}
LOCKS = sorted(ROOT.glob("requirements*.lock")) + sorted(ROOT.glob("tests/deployment/*.lock"))


@pytest.mark.parametrize(("package", "floor"), FLOORS.items())
def test_what_is_installed_and_locked_is_not_older_than_its_mended_version(
    package: str, floor: str
) -> None:
    assert Version(version(package)) >= Version(floor)
    for lock in LOCKS:
        for pinned in re.findall(rf"^{package}==(\S+)", lock.read_text(), re.MULTILINE):
            assert Version(pinned) >= Version(floor), lock.name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_pin_of_a_lock_has_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    pins = re.findall(
        r"^[A-Za-z0-9._-]+==.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*", text, re.MULTILINE
    )
    assert pins
    assert all("--hash=sha256:" in one for one in pins)
    assert "://" not in text


def test_the_page_of_licences_is_current_and_all_are_allowed() -> None:
    assert licences.PAGE.read_text() == licences.page(), (
        "python -m tests.supply_chain.licences --write"
    )


@pytest.mark.parametrize("expression", ["GPL-3.0-only", "MIT AND GPL-3.0-only", "", "Proprietary"])
def test_a_licence_that_is_not_on_the_list_is_not_taken(expression: str) -> None:
    assert not licences.is_understood(expression)


def test_of_several_licences_to_choose_from_one_allowed_is_enough() -> None:
    assert licences.is_understood("GPL-2.0-only OR MIT")
    assert licences.is_understood("MIT AND PSF-2.0")


def test_a_package_that_nobody_installed_is_named() -> None:
    with pytest.raises(licences.UnknownLicenceError, match="no-such-package is not installed"):
        licences.licence_of("no-such-package")


def test_the_lock_of_each_image_is_there_and_the_command_lines_is_the_largest() -> None:
    sizes = {service: lock.stat().st_size for service, lock in licences.locks().items()}
    assert max(sizes, key=lambda service: sizes[service]) == "ops"
    assert licences.locks()["intake"].name == "requirements-intake.lock"


def test_an_sbom_names_its_service_and_each_package_with_licence_and_no_address() -> None:
    component = {
        "name": "aiohttp",
        "purl": "pkg:pypi/aiohttp@3.14.5",
        "bom-ref": "requirements-L1",
        "description": "requirements line 1",
        "externalReferences": [{"url": "https://somewhere/simple/aiohttp/"}],
    }
    bom = {"metadata": {"component": {"name": "imagelane"}}, "components": [component]}
    made = sbom.completed(bom, "intake")
    assert made["metadata"]["component"]["name"] == "imagelane-intake"
    assert made["components"][0]["licenses"] == [{"expression": "Apache-2.0 AND MIT"}]
    assert made["dependencies"] == [
        {"ref": "imagelane-intake", "dependsOn": ["pkg:pypi/aiohttp@3.14.5"]}
    ]
    assert "somewhere" not in str(made)


VULNERABLE = {
    "dependencies": [
        {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},
        {"name": "b", "version": "1", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
}


def test_a_known_vulnerability_and_a_package_nobody_knows_are_findings() -> None:
    found = list(audit.findings(VULNERABLE, date(2026, 11, 21)))
    assert found == ["a 1: PYSEC-1, mended in 2", "c: not found"]


def test_an_accepted_vulnerability_counts_again_after_its_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accepted = {"PYSEC-1": audit.Accepted("not reached", date(2026, 11, 21))}
    monkeypatch.setattr(audit, "ACCEPTED", accepted)
    assert len(list(audit.findings(VULNERABLE, date(2026, 11, 21)))) == 1
    assert len(list(audit.findings(VULNERABLE, date(2026, 11, 22)))) == 2


def test_an_audit_that_skipped_everything_says_that_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(
        '#!/bin/sh\necho \'{"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}]}\'\n'
    )
    tool.chmod(0o755)
    assert audit.main([str(tool)]) == 3
    assert "nothing is known" in capsys.readouterr().err
