"""What the processor and its decode children say to each other: one datagram each way for an image.

Both begin with the request's number, so that no answer is taken for that to another request. The request's
datagram also carries the descriptors: the original first, then one for each output.
The child is not trusted: whatever does not fit these types counts as its crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from imagelane.core.failures import Code
from imagelane.core.recipes import OutputSpec
from imagelane.processor.core.limits import ImageLimits

MAX_MESSAGE_BYTES: Final = 65_536
NUMBER_BYTES: Final = 4
MAX_OUTPUTS: Final = 16
MAX_REASON_CHARS: Final = 2_000

Side = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child's first words: it waits for work behind these walls."""

    walls: list[str]


class Request(msgspec.Struct, frozen=True):
    """Make these outputs of the original, in this order."""

    outputs: Annotated[tuple[OutputSpec, ...], msgspec.Meta(min_length=1, max_length=MAX_OUTPUTS)]
    limits: ImageLimits


class Made(msgspec.Struct, frozen=True, tag="made"):
    """Every output is written; these are their widths and heights in pixels."""

    sizes: list[tuple[Side, Side]]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The image is at fault."""

    code: Code


class Unwritable(msgspec.Struct, frozen=True, tag="unwritable"):
    """The store is at fault: an output's file takes no more bytes."""

    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]


class Fallen(msgspec.Struct, frozen=True, tag="fallen"):
    """The child's last words after something that it did not foresee, for the log."""

    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]


Answer = Made | Refused | Unwritable
Reply = Answer | Fallen

encode: Final = msgspec.msgpack.Encoder().encode
decode_ready: Final = msgspec.msgpack.Decoder(Ready).decode
decode_request: Final = msgspec.msgpack.Decoder(Request).decode
decode_reply: Final[Callable[[bytes], Reply]] = msgspec.msgpack.Decoder(Reply).decode
