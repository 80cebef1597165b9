"""What the script found or made (tests/deployment/check_containers.sh), each as an option."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    options = {
        "--project": "docker-compose.yml as Compose's own library writes it",
        "--prefix": "of all names, and a label",
        "--parts": "a folder of Python packages with a Java and a PostgreSQL",
        "--jars": "the broker's",
        "--versitygw": "the program",
    }
    for name, meaning in options.items():
        parser.addoption(name, help=meaning)
