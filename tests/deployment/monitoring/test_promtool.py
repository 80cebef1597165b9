"""Prometheus' own tool reads the alerts and tries each: it fires when it shall, and is silent when not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.deployment.monitoring.programs import program
from tests.deployment.test_alerts import ALERT_TESTS, RULES

Rule = dict[str, Any]

each_alert = pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])


def promtool(folder: Path, rules: list[Rule], *command: str) -> subprocess.CompletedProcess[str]:
    """Runs it beside the rules, which Prometheus knows without the operator's wrapping."""
    groups = {"groups": [{"name": "imagelane", "rules": rules}]}
    (folder / "rules.yaml").write_text(json.dumps(groups))
    shutil.copy(ALERT_TESTS, folder / "tests.yaml")
    return subprocess.run(
        [program("promtool"), *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_rules_are_without_fault(tmp_path: Path) -> None:
    done = promtool(tmp_path, RULES, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_shall_and_is_silent_when_not(tmp_path: Path) -> None:
    done = promtool(tmp_path, RULES, "test", "rules", "tests.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def never(rule: Rule) -> None:
    rule["expr"] = f"({rule['expr']}) < -1"


def without_patience(rule: Rule) -> None:
    rule["expr"] = rule["expr"].replace("> ", ">= ").replace("== ", ">= ")
    rule.pop("for", None)


@each_alert
@pytest.mark.parametrize("change", [never, without_patience])
def test_its_test_would_notice_another_rule(
    name: str, change: Callable[[Rule], None], tmp_path: Path
) -> None:
    rules = deepcopy(RULES)
    (rule,) = [one for one in rules if one["alert"] == name]
    change(rule)
    done = promtool(tmp_path, rules, "test", "rules", "--run", f"^{name}$", "tests.yaml")
    assert done.returncode == 1
    assert name in done.stdout + done.stderr
