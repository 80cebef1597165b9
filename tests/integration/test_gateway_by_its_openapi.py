"""Schemathesis against the gateway's own OpenAPI document, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from tests.integration.gateways import gateway

from imagelane.ops import key_records
from imagelane.platform.settings import KafkaSettings
from imagelane.tracker.migrating import migrate

pytestmark = pytest.mark.kafka

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
)
ENDLESS = "/events$"  # answers that are streams end when their reader does
RUN_SECONDS = 240


async def test_no_request_that_the_document_describes_is_answered_otherwise(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    """Right and wrong requests to every route, from a seed, and what follows from their answers by the document's
    links; no answer is a 5xx or undocumented.
    """
    token = key_records.create(
        kafka, name="schemathesis", customer_id=None, scopes=["operate"], expires_at=None
    )[1]
    engine = create_engine(f"sqlite:///{tmp_path}/tracker.sqlite")
    migrate(engine)
    engine.dispose()
    async with gateway(kafka, tmp_path) as url:
        process = await asyncio.create_subprocess_exec(
            *(SCHEMATHESIS, "run", f"{url}/v1/openapi.json"),
            *("--checks", ",".join(CHECKS), "--header", f"Authorization: Bearer {token}"),
            *("--exclude-path-regex", ENDLESS, "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "20", "--seed", "1", "--generation-database", "none"),
            *("--request-timeout", "20", "--no-color", "--continue-on-failure"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        async with asyncio.timeout(RUN_SECONDS):
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
