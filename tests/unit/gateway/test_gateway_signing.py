"""Answers tell URLs that can be read: signed now for a closed destination, and as they are for an open one."""

from datetime import UTC, datetime

from imagelane.core.destinations import Destination
from imagelane.core.presigning import Presigner
from imagelane.gateway.signing import Signing
from imagelane.tracking.views import ImageOutput, ImageResult, ImageStatus

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
OPEN = Destination("open", "", "https://open.example")
CLOSED = Destination(
    "closed", "", "https://closed.example/r", Presigner("key", "secret", "us-east-1", 3_600)
)


def line(address: str) -> ImageResult:
    return ImageResult(index=0, url=None, status="delivered", results=[address])


def test_only_what_lies_in_a_closed_destination_is_signed() -> None:
    signing = Signing([OPEN, CLOSED], now=lambda: NOW)
    addresses = ["https://open.example/j/0/image.jpg", "https://closed.example/r/j/0/image.jpg"]
    there, signed = (one.results[0] for one in signing.results([*map(line, addresses)]))
    assert there == addresses[0]
    assert signed == CLOSED.readable(addresses[1], NOW)
    assert "X-Amz-Signature=" in signed


def test_an_image_is_told_with_readable_outputs() -> None:
    address = "https://closed.example/r/j/0/image.jpg"
    output = ImageOutput(
        name="image", url=address, content_type="image/jpeg", width=1, height=1, size_bytes=1
    )
    image = ImageStatus(
        image_id="j:0", job_id="j", index=0, status="processed", url=None, outputs=[output]
    )
    told = Signing([CLOSED], now=lambda: NOW).statuses([image])
    assert told[0].outputs[0].url == CLOSED.readable(address, NOW)
    assert Signing([OPEN]).statuses([image]) == [image]
