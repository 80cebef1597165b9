"""The script that makes buckets can run at every start, and opens results to readers, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3  # type: ignore[import-untyped] # only its asynchronous sister has stubs
import pytest
from moto.server import ThreadedMotoServer

SCRIPT = Path(__file__).parents[2] / "compose" / "make_buckets.py"
PRIVATE, RESULTS = "the-scripts-private", "the-scripts-results"  # moto has one state per process


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
    places = ("--private", PRIVATE, "--public", RESULTS)
    key = ("--access-key-id", "imagelane", "--secret-access-key-file", str(secret))
    command = [sys.executable, str(SCRIPT), "--endpoint-url", s3_url, *key, *places]
    told = [
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        for _start in range(2)
    ]
    assert told == [f"made the bucket {PRIVATE}\nmade the bucket {RESULTS}\n", ""]

    s3 = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=RESULTS)["Policy"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{RESULTS}/*",
    }
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=PRIVATE)
