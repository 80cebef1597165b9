"""The list of metrics is what services serve: nothing is unlisted, and nothing is listed that nobody sets."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from imagelane.ops.metrics_reference import declared, page

ROOT = Path(__file__).parents[2]
METRICS = declared()
SERVICES = sorted({service for one in METRICS for service in one.services})
SOURCES = sorted((ROOT / "services").glob("*/imagelane/**/*.py"))

REGISTERED = """
import importlib, json, sys
from prometheus_client import REGISTRY
importlib.import_module(sys.argv[1])
print(json.dumps([f"{one.name}{'_total' * (one.type == 'counter')}" for one in REGISTRY.collect()]))
"""


def registered(service: str) -> set[str]:
    """What a process of the service has registered once its app is imported."""
    done = subprocess.run(
        [sys.executable, "-c", REGISTERED, f"imagelane.{service}.app"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_serves_what_is_listed_for_it_and_what_its_client_tells_of_every_process(
    service: str,
) -> None:
    found = {one for one in registered(service) if not one.startswith(("process_", "python_"))}
    assert found == {one.name for one in METRICS if service in one.services}


def test_every_service_with_an_app_has_metrics() -> None:
    apps = {path.parts[-2] for path in SOURCES if path.name == "app.py"}
    assert apps - {"standin"} == set(SERVICES)


def test_names_are_unique_and_say_whose_they_are() -> None:
    assert [name for name, times in Counter(one.name for one in METRICS).items() if times > 1] == []
    for one in METRICS:
        assert re.fullmatch(r"imagelane(_[a-z]+)+", one.name)
        if len(one.services) == 1:
            assert one.name.startswith(f"imagelane_{one.services[0]}_")


def test_histograms_have_base_units() -> None:
    assert {one.unit for one in METRICS if one.kind == "histogram"} <= {"seconds", "bytes"}


def test_every_metric_says_what_it_means_in_a_sentence() -> None:
    assert [one.name for one in METRICS if not re.fullmatch(r"[A-Z0-9].*\.", one.meaning)] == []


def test_no_label_says_anything_about_customers() -> None:
    labels = {label for one in METRICS for label in one.labels}
    assert labels & {"customer", "customer_id", "job", "job_id", "url", "host", "key"} == set()


def assigned_metrics(folder: Path) -> list[str]:
    """The names in a service's modules that stand for metrics."""
    return [
        node.target.id
        for tree in trees(folder)
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and _declares(node.value)
    ]


def trees(folder: Path) -> list[ast.Module]:
    return [ast.parse(path.read_text()) for path in folder.rglob("*.py")]


def _declares(value: ast.expr | None) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and isinstance(value.func.value, ast.Name)
        and value.func.value.id == "METRICS"
    )


def uses(folder: Path) -> Counter[str]:
    """How often each name is read in a service's modules, as a name or behind a dot."""
    read: Counter[str] = Counter()
    for tree in trees(folder):
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                read[node.id] += 1
            elif isinstance(node, ast.Attribute):
                read[node.attr] += 1
    return read


def test_nothing_is_listed_that_no_code_sets() -> None:
    unused, known = [], 0
    for folder in sorted((ROOT / "services").iterdir()):
        names, read = assigned_metrics(folder), uses(folder)
        known += len(names)
        unused += [f"{folder.name}: {name}" for name in names if not read[name]]
    assert unused == []
    assert known == len(METRICS)


def test_the_page_tells_every_metric_once() -> None:
    text = page(METRICS)
    for one in METRICS:
        assert text.count(f"`{one.name}`") == 1
