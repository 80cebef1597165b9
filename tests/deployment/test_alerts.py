"""Alerts and the dashboard speak of metrics that exist, and every alert has a page for who is woken by it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.deployment import alert_rules

from imagelane.ops.metrics_reference import declared

ROOT = Path(__file__).parents[2]
METRICS = {one.name: one for one in declared()}
OF_THE_CLIENT = {"process_start_time_seconds"}
OF_PROMETHEUS = {"up"}
OF_A_HISTOGRAM: Final = re.compile(r"_(bucket|count|sum)$")
GIVEN_BY_PROMETHEUS = {"pod", "service", "job", "le"}
"""By its own configuration: of the Prometheus operator (PodMonitor), and of Compose."""

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "k8s/components/monitoring/alerts.yaml").read_text())[
        "spec"
    ]["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "compose/grafana/dashboards/imagelane.json").read_text())
PANELS = {
    f"{panel['title']} ({target['refId']})": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | PANELS
ALERT_TESTS = Path(__file__).parent / "alert_tests.yaml"
"""promtool runs them (tests/deployment/monitoring/test_promtool.py)."""
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()

each_alert = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
each_expression = pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)


def base_name(name: str) -> str:
    """The metric behind a series."""
    base = OF_A_HISTOGRAM.sub("", name)
    return base if base in METRICS and METRICS[base].kind == "histogram" else name


def selectors(expression: str) -> Iterator[tuple[str, str, str, str]]:
    """Every series with each label that it is chosen by: name, label, operator, value."""
    for name, inner in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', inner):
            yield base_name(name), label, operator, value


@each_expression
def test_every_metric_exists(expression: str) -> None:
    named = set(re.findall(r"\b(?:(?:imagelane|process|python)_\w+|up)\b", expression))
    assert named
    assert {base_name(one) for one in named} <= METRICS.keys() | OF_THE_CLIENT | OF_PROMETHEUS


@each_expression
def test_every_label_and_its_values_exist(expression: str) -> None:
    for name, label, operator, value in selectors(expression):
        if label in GIVEN_BY_PROMETHEUS:
            continue
        wanted = set(value.split("|")) if "~" in operator else {value}
        assert wanted <= set(METRICS[name].labels[label])
    known = {label for one in METRICS.values() for label in one.labels} | GIVEN_BY_PROMETHEUS
    grouped = {
        label for inner in re.findall(r"by \(([^)]*)\)", expression) for label in inner.split(", ")
    }
    assert grouped <= known


@each_expression
def test_a_counter_is_looked_at_by_its_growth(expression: str) -> None:
    for name in re.findall(r"\b(imagelane_\w+_total)\b", expression):
        assert re.search(rf"(rate|increase)\({name}(\{{[^}}]*\}})?\[", expression)


@each_alert
def test_an_alert_says_how_bad_it_is_and_where_its_page_is(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_every_alert_has_a_page_and_every_page_its_alert() -> None:
    pages = re.findall(r"^### (Imagelane\w+)$", RUNBOOKS, re.MULTILINE)
    assert sorted(pages) == sorted(rule["alert"] for rule in RULES)


@each_alert
def test_a_page_says_what_it_means_and_what_to_do(rule: dict[str, Any]) -> None:
    page = RUNBOOKS.split(f"### {rule['alert']}\n")[1].split("\n#")[0]
    assert re.search(r"\*\*What it means.\*\* \S", page)
    assert re.search(r"\*\*What to do.\*\* \S", page)


def test_the_end_of_each_service_raises_an_alert() -> None:
    (gone,) = (rule["expr"] for rule in RULES if rule["alert"] == "ImagelaneServiceGone")
    missed = re.findall(
        r'absent\(process_start_time_seconds\{job=~".\*imagelane",service="(\w+)"\}\)', gone
    )
    assert sorted(missed) == sorted(
        {service for one in METRICS.values() for service in one.services}
    )


def test_compose_has_the_same_alerts() -> None:
    assert alert_rules.OF_COMPOSE.read_text() == alert_rules.text()


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert sorted(names) == sorted(set(names))


@each_alert
def test_every_alert_is_tried_for_when_it_fires_and_for_when_not(rule: dict[str, Any]) -> None:
    moments = [
        moment
        for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"]
        if test["name"] == rule["alert"]
        for moment in test["alert_rule_test"]
    ]
    assert {one["alertname"] for one in moments} == {rule["alert"]}
    assert {bool(one["exp_alerts"]) for one in moments} == {True, False}
