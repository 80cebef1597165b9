"""What Compose and the overlay `local` run at every start: buckets are made once, and only results are open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped] # only its asynchronous sister has stubs
import pytest
from moto.server import ThreadedMotoServer

COMMAND = (str(Path(sys.executable).with_name("imagelane")), "buckets", "apply")
PRIVATE, RESULTS = "the-jobs-private", "the-jobs-results"  # moto has one state per process


@pytest.fixture
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_buckets_are_made_once_and_only_results_can_be_read_by_all(
    s3_url: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not a real one\n")
    variables = {
        "PRIVATE_KIND": "s3",
        "PRIVATE_BUCKET": PRIVATE,
        "DESTINATIONS__DEFAULT__KIND": "s3",
        "DESTINATIONS__DEFAULT__BUCKET": RESULTS,
        "DESTINATIONS__DEFAULT__PUBLIC_BASE_URL": f"{s3_url}/{RESULTS}",
        "S3__ENDPOINT_URL": s3_url,
        "S3__ACCESS_KEY_ID": "imagelane",
        "S3__SECRET_ACCESS_KEY_FILE": str(secret),
        "S3__PATH_STYLE": "true",
    }
    environment = {f"IMAGELANE_STORE__{name}": value for name, value in variables.items()}
    told = [
        subprocess.run(
            COMMAND,
            env={**os.environ, **environment},  # noqa: TID251 - the command inherits ours
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.splitlines()
        for _start in range(2)
    ]
    in_order = f"{PRIVATE}, {RESULTS}: as the settings say"
    made = [f"made the bucket {PRIVATE}", f"made the bucket {RESULTS}"]
    assert told == [[*made, in_order], [in_order]]

    s3 = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=RESULTS)["Policy"])["Statement"]
    assert (statement["Principal"], statement["Action"]) == ("*", "s3:GetObject")
    assert statement["Resource"] == [f"arn:aws:s3:::{RESULTS}/*"]
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=PRIVATE)
