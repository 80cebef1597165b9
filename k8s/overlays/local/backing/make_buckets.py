"""Makes the buckets of a deployment on an S3 server, and lets everybody read results, but not list them.

Run once at every start by docker-compose.yml and the Kubernetes overlay `local`; a bucket that is there stays.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import boto3  # type: ignore[import-untyped] # only its asynchronous sister has stubs
from botocore.client import Config


def parse() -> argparse.Namespace:
    """What is wanted of whom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", required=True)
    parser.add_argument("--access-key-id", required=True)
    parser.add_argument("--secret-access-key-file", type=Path, required=True)
    parser.add_argument("--private", nargs="+", default=[], help="buckets that only we read")
    parser.add_argument("--public", nargs="+", default=[], help="buckets of results")
    return parser.parse_args()


def main() -> None:
    """Makes what is missing, and says so."""
    given = parse()
    s3 = boto3.client(
        "s3",
        endpoint_url=given.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key_file.read_text().strip(),
        config=Config(s3={"addressing_style": "path"}),
    )
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for bucket in (*given.private, *given.public):
        if bucket not in there:
            s3.create_bucket(Bucket=bucket)
            sys.stdout.write(f"made the bucket {bucket}\n")
    for bucket in given.public:
        read = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [read]}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


if __name__ == "__main__":
    main()
