"""The dashboard draws what its panels say; that each line is drawn at all, a real Prometheus shows (`monitoring/`)."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
import yaml
from tests.deployment.monitoring.dashboard import NOUGHT, QUESTIONS, SCRAPE_SECONDS, SHORT_LIVED
from tests.deployment.monitoring.programs import COMPOSE
from tests.deployment.test_alerts import DASHBOARD, METRICS, base_name

RATE: Final = re.compile(r"\brate\(")
GROUPED: Final = re.compile(r"\bby \(([^)]*)\)")
OF_RATES: Final = {"ops": None, "reqps": "requests", "Bps": "bytes"}
"""Units of what happens in a second; of which metrics, where they say so."""
EVENTS: Final = {"images", "letters", "retries", "children", "requests", "attempts"}

each_panel = pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda one: one["title"])


def unit_of(expression: str) -> str:
    """What the metric of a query counts or measures."""
    (name,) = re.findall(r"\b((?:imagelane|process)_\w+|up)\b(?=\{)", expression)
    return METRICS[base_name(name)].unit if base_name(name) in METRICS else "workers"


@each_panel
def test_a_panel_s_unit_is_that_of_its_lines(panel: dict[str, Any]) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        query = target["expr"]
        if "histogram_quantile" in query:
            assert (unit, unit_of(query)) == ("s", "seconds")
        elif unit == "s":
            assert unit_of(query) == "seconds"
            assert not RATE.search(query)
        elif unit in OF_RATES:
            assert RATE.search(query)
            assert unit_of(query) in ({OF_RATES[unit]} if OF_RATES[unit] else EVENTS)
        else:
            assert unit == "short"
            assert not RATE.search(query)
            assert unit_of(query) not in {"seconds", "bytes"}


@each_panel
def test_a_panel_says_what_it_shows_and_asks_the_chosen_source_about_the_chosen_job(
    panel: dict[str, Any],
) -> None:
    assert re.fullmatch(r"[A-Z0-9].*\.", panel["description"])
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["expr"].count('{job=~"$job"') == 1


def test_a_line_is_called_by_the_labels_that_it_is_grouped_by() -> None:
    for one in QUESTIONS:
        grouped = {
            label for inner in GROUPED.findall(one.expression) for label in inner.split(", ")
        }
        assert grouped - {"le"} == one.labels


def test_no_two_lines_of_a_panel_are_called_alike() -> None:
    names = [str(one) for one in QUESTIONS]
    assert sorted(names) == sorted(set(names))


def test_the_lines_that_may_lie_at_nought_are_lines_of_the_dashboard() -> None:
    assert {*NOUGHT, *SHORT_LIVED} <= set(map(str, QUESTIONS))


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    config = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    assert config["global"]["scrape_interval"] == f"{SCRAPE_SECONDS}s"
