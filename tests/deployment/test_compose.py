"""docker-compose.yml names every service, passes only settings that exist, and opens nothing to others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry import environment_variables as of_the_api
from opentelemetry.sdk import environment_variables as of_the_sdk
from tests.deployment.containers import CLASSES, SECRETS, load, make_secrets, unknown_variables

from imagelane.ops.metrics_reference import declared
from imagelane.standin.options import parse as standin_options

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def without_variables(value: Any) -> Any:
    """The file as Compose reads it where no variable is set."""
    if isinstance(value, dict):
        return {name: without_variables(one) for name, one in value.items()}
    if isinstance(value, list):
        return [without_variables(one) for one in value]
    return VARIABLE.sub(r"\2", value) if isinstance(value, str) else value


FILE: dict[str, Any] = without_variables(yaml.safe_load(TEXT))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = sorted(set(SERVICES) & set(CLASSES))
PYTHON = sorted(name for name, one in SERVICES.items() if one["image"].startswith("imagelane/"))

TRACED = {one for metric in declared() if "trace_spans" in metric.name for one in metric.services}

each_of_ours = pytest.mark.parametrize("name", OURS)


def test_every_service_is_there() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/Dockerfile")}
    assert folders - {"ops"} <= set(SERVICES)
    images = {SERVICES[name]["image"] for name in PYTHON}
    assert images == {f"imagelane/{folder}:dev" for folder in folders}


@each_of_ours
def test_a_service_is_passed_only_settings_that_it_has(name: str) -> None:
    assert unknown_variables(name, SERVICES[name].get("environment", {})) == set()


@each_of_ours
def test_a_service_accepts_what_it_is_passed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = make_secrets(tmp_path, set(SERVICES[name].get("secrets", [])))
    environment = SERVICES[name]["environment"]
    assert isinstance(load(name, environment, secrets, monkeypatch), CLASSES[name])


@pytest.mark.parametrize("name", sorted(TRACED))
def test_a_service_with_traces_is_passed_all_that_they_need_and_only_standard_variables(
    name: str,
) -> None:
    passed = {one for one in SERVICES[name]["environment"] if one.startswith("OTEL_")}
    assert passed == {
        "OTEL_TRACES_EXPORTER",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
    }
    assert passed <= {*dir(of_the_api), *dir(of_the_sdk)}
    assert SERVICES[name]["environment"]["OTEL_TRACES_EXPORTER"] == "none"


def test_traces_go_where_the_collector_listens() -> None:
    config = yaml.safe_load((ROOT / "compose" / "otlp.yml").read_text())
    listening = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    for name in TRACED:
        endpoint = SERVICES[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        assert endpoint == "http://otlp:" + listening.split(":")[1]


def test_a_setting_that_is_none_is_noticed() -> None:
    assert unknown_variables("intake", {"IMAGELANE_INTAKE__FETCHS": "1"}) == {
        "IMAGELANE_INTAKE__FETCHS"
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(
        re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in SERVICES[name].get("ports", [])
    )


def test_no_two_services_want_the_same_port() -> None:
    ports = [port.split(":")[1] for one in SERVICES.values() for port in one.get("ports", [])]
    assert sorted(ports) == sorted(set(ports))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_says_how_it_is_and_how_much_it_may_take(name: str) -> None:
    assert SERVICES[name]["healthcheck"]
    assert SERVICES[name]["mem_limit"]
    assert SERVICES[name]["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", PYTHON)
def test_our_containers_cannot_write_to_their_images(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert "user" not in SERVICES[name]  # the image's


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(PYTHON)))
def test_images_of_others_are_pinned(name: str) -> None:
    assert re.search(r":v?\d[\w.-]*@sha256:[0-9a-f]{64}$", SERVICES[name]["image"])


def test_what_must_be_healthy_can_be() -> None:
    for one in SERVICES.values():
        for needed, how in one.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in SERVICES[needed]["healthcheck"]
            else:
                assert SERVICES[needed]["restart"] == "on-failure:3"


def test_the_example_names_every_variable_with_the_value_that_it_has_without_it() -> None:
    example = dict(
        line.removeprefix("#").split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if re.match(r"#[A-Z_]+=", line)
    )
    assert example == dict(VARIABLE.findall(TEXT))


def test_the_secrets_that_are_made_are_those_that_are_mounted(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    command = [sys.executable, str(ROOT / "compose" / "make_secrets.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    assert set(made) == set(FILE["secrets"])
    used = {secret for one in SERVICES.values() for secret in one.get("secrets", [])}
    assert used == set(made)
    for name, one in FILE["secrets"].items():
        assert one["file"] == f"./compose/secrets/{name}"


def test_every_process_with_metrics_is_scraped() -> None:
    config = yaml.safe_load((ROOT / "compose" / "prometheus.yml").read_text())
    targets = config["scrape_configs"][0]["static_configs"][0]["targets"]
    serving = [name for name in OURS if "test" in SERVICES[name]["healthcheck"]]
    assert sorted(targets) == [f"{name}:9090" for name in serving]


def test_prometheus_is_given_the_rules_that_it_reads() -> None:
    config = yaml.safe_load((ROOT / "compose" / "prometheus.yml").read_text())
    mounted = [one.split(":")[:2] for one in SERVICES["prometheus"]["volumes"]]
    for name in ("prometheus.yml", *config["rule_files"]):
        assert [f"./compose/{name}", f"/etc/prometheus/{name}"] in mounted


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("prometheus", "github.com/prometheus/prometheus"),
        ("otlp", "go.opentelemetry.io/collector/otelcol"),
    ],
)
def test_what_is_built_for_tests_is_the_release_that_is_named(name: str, module: str) -> None:
    folder = {"otlp": "collector"}.get(name, name)
    needed = (ROOT / "tests" / "deployment" / folder / "go.mod").read_text()
    (built,) = re.findall(rf"^\t{module} v(\S+)", needed, re.MULTILINE)
    release = SERVICES[name]["image"].split("@")[0].split(":v" if name == "prometheus" else ":")[1]
    if name == "prometheus":  # 3.15.0 as a Go module is 0.315.0
        major, minor, patch = release.split(".")
        release = f"0.{major}{int(minor):02}.{patch}"
    assert built == release


def test_the_stand_in_understands_its_command(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path, set(SERVICES["standin"]["secrets"]))
    command = [one.replace(SECRETS, f"{secrets}/") for one in SERVICES["standin"]["command"]]
    assert standin_options(command).token
