"""Compose's alerts are Kubernetes' own, without the operator's wrapping: `python -m tests.deployment.alert_rules`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).parents[2]
OF_KUBERNETES: Final = ROOT / "k8s" / "components" / "monitoring" / "alerts.yaml"
OF_COMPOSE: Final = ROOT / "compose" / "alerts.yml"
HEAD: Final = "# Made from k8s/components/monitoring/alerts.yaml by `python -m tests.deployment.alert_rules`.\n"


def text() -> str:
    """What Compose's file has to say."""
    spec = yaml.safe_load(OF_KUBERNETES.read_text())["spec"]
    return HEAD + yaml.safe_dump(spec, sort_keys=False, width=120)


if __name__ == "__main__":
    OF_COMPOSE.write_text(text())
