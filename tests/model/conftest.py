"""The model's clock in place of the real one, no lines of log, and how many examples."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from tests.model.clock import installed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--examples",
        type=int,
        default=0,
        help="examples of the model; 0: as many as CI has time for",
    )


@pytest.fixture(autouse=True)
def model_time() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with installed():
        yield
    structlog.reset_defaults()
