"""An option of the object store's suite: on which S3 server it runs."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--s3-server",
        choices=("moto", "versitygw"),
        default="moto",
        help="what the suite of the object store runs on; versitygw is real, and needs Go once",
    )
