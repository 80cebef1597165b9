"""Server-sent events, from pieces of a response to events. Lines end with LF or CRLF, as ours do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `id` is the place in the stream from which to go on."""

    kind: str
    id: str
    data: bytes


class EventReader:
    """Gives the same events however the stream is cut. An event that is not whole is none."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind = ""
        self._id = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[ServerSentEvent]:
        """The events that this piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r")
            if text:
                self._take(text)
            elif self._data:
                yield ServerSentEvent(self._kind or "message", self._id, b"\n".join(self._data))
                self._kind, self._data = "", []
            else:
                self._kind = ""

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode(errors="replace")
        elif name == b"id":
            self._id = value.decode(errors="replace")
