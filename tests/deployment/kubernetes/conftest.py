"""A real API server for the tests of a file, with the operators' definitions, our namespace and its accounts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.deployment.kubernetes.api_server import Cluster, serving
from tests.deployment.kubernetes.rendering import of_kind
from tests.deployment.kubernetes.schemas import CRDS


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    with serving(folder) as started:
        answer = started.apply(definitions)
        assert answer.accepted, answer
        started.wait_for_definitions(len(definitions))
        for kind in ("Namespace", "ServiceAccount"):
            answer = started.apply(of_kind("production", kind))
            assert answer.accepted, answer
        yield started
