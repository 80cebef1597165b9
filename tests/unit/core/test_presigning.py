"""Signed URLs are those that AWS's own library makes, and can be made again from the same time."""

from datetime import UTC, datetime, timedelta, timezone
from unittest import mock

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from imagelane.core.presigning import Presigner

AT = datetime(2026, 11, 21, 22, 1, 2, 345_000, tzinfo=UTC)
PRESIGNER = Presigner("imagelane", "se/cr+et=", "eu-west-1", 86_400)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:7070/results/open/aaaa/0/image.jpg",
        "https://results.s3.eu-west-1.amazonaws.com/aaaa/99999/image.jpg",
    ],
)
def test_a_signed_url_is_that_of_the_aws_library(address: str) -> None:
    with mock.patch("botocore.auth.get_current_datetime", return_value=AT):
        request = AWSRequest("GET", address)
        credentials = Credentials("imagelane", "se/cr+et=")
        S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=86_400).add_auth(request)
    assert PRESIGNER.signed(address, AT) == request.url


def test_it_depends_on_nothing_but_address_time_and_key() -> None:
    address = "https://s3.example.com/results/a/0/image.jpg"
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    assert PRESIGNER.signed(address, AT) == PRESIGNER.signed(address, elsewhere)
    assert PRESIGNER.signed(address, AT) != PRESIGNER.signed(address, AT + timedelta(seconds=1))


def test_the_secret_is_not_shown() -> None:
    assert "se/cr" not in repr(PRESIGNER)
