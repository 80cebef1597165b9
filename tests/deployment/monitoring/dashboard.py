"""The dashboard's questions, as Grafana puts them to Prometheus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml
from tests.deployment.monitoring.programs import COMPOSE
from tests.deployment.test_alerts import DASHBOARD

SOURCE: Final[dict[str, Any]] = yaml.safe_load(
    (COMPOSE / "grafana" / "datasources" / "prometheus.yml").read_text()
)["datasources"][0]
SCRAPE_SECONDS: Final = int(SOURCE["jsonData"]["timeInterval"].removesuffix("s"))
RATE_SECONDS: Final = 4 * SCRAPE_SECONDS
"""`$__rate_interval` of a panel that shows minutes: Grafana takes four scrapes at the least."""
PER_LINE: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Question:
    """One query of a panel, and how its lines are called."""

    panel: str
    expression: str
    legend: str

    def __str__(self) -> str:
        return f"{self.panel}: {self.legend}"

    @property
    def labels(self) -> set[str]:
        """What a line's name is made of."""
        return set(PER_LINE.findall(self.legend))

    def asked(self, job: str) -> str:
        """The query, with Grafana's variables filled in."""
        return self.expression.replace("$__rate_interval", f"{RATE_SECONDS}s").replace("$job", job)


QUESTIONS: Final = [
    Question(panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
VARIABLES: Final = {one["name"]: one for one in DASHBOARD["templating"]["list"]}

NOUGHT: Final = {
    "Held lanes and overdue calls: {{kind}}": "no call goes wrong",
    "Held lanes and overdue calls: overdue": "no call takes long",
    "Dead letters: {{topic}}": "everything can be read",
    "Tries again, by code: {{code}}": "what is not there is not asked for again",
    "Holds, by reason: {{kind}}": "no call goes wrong",
    "Restarts, and partitions that moved: {{service}} started again": "nothing dies",
    "Status behind, and spans that were lost: spans {{result}}": "the collector takes every span",
    "Decode children that ended: {{why}}": "too few images for a child to be recycled",
}
"""Lines that lie at nought while all is well, and why."""
SHORT_LIVED: Final = {
    "Work waiting, by group: {{group}}",
    "A lane idle though images are ready, longest: waits",
    "Restarts, and partitions that moved: {{group}} {{how}}",
    "Age of the oldest: images of a lane without a request",
    "Status behind, and spans that were lost: records behind",
}
"""Lines that rise for moments, which may lie between two looks of Prometheus. All others are seen to rise."""
