"""Connections that a server cannot use to keep our event loop busy with next to no content.

aiohttp bounds one head and the time of a whole answer, not how often a server may say "not yet" (1xx) and not
how small its chunks are. Measured: one connection full of `103 Early Hints` stopped the loop for seconds.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

MAX_INTERIM_ANSWERS: Final = 4_000
SLICE_BYTES: Final = 65_536
WIRE_BYTES_PER_CONTENT_BYTE: Final = 1.25  # chunks of about 24 bytes
FREE_WIRE_BYTES: Final = 65_536
_INTERIM: Final = range(100, 200)
_SWITCHING: Final = 101


class FloodError(aiohttp.ClientError):
    """The server sends far more than what it sends is worth."""


class FloodGuard(ResponseHandler):
    """One connection. Ends it with `FloodError` after too many interim answers, or for tiny chunks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._interim_answers = 0
        self._wire_bytes = 0
        self._body: StreamReader | None = None

    def data_received(self, data: bytes) -> None:
        """Called by the transport, with whatever has come."""
        # Before the head, a large read may be thousands of interim answers: stop between slices.
        while self._awaits_head() and len(data) > SLICE_BYTES:
            super().data_received(data[:SLICE_BYTES])
            data = data[SLICE_BYTES:]
        if self.exception() is not None:
            return
        super().data_received(data)
        if self._body is not None:
            self._wire_bytes += len(data)
            if self._wire_bytes - FREE_WIRE_BYTES > (
                self._body.total_bytes * WIRE_BYTES_PER_CONTENT_BYTE
            ):
                self._refuse(self._body)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called for every head."""
        message, payload = data
        if message.code not in _INTERIM or message.code == _SWITCHING:
            self._interim_answers = self._wire_bytes = 0
            self._body = payload
            payload.on_eof(self._body_ended)
            super().feed_data(data, size)
            return
        self._interim_answers += 1  # nobody reads them: they are dropped here
        if self._interim_answers > MAX_INTERIM_ANSWERS:
            self._refuse(None)

    def _awaits_head(self) -> bool:
        return self._body is None and self.exception() is None

    def _body_ended(self) -> None:
        self._body = None

    def _refuse(self, body: StreamReader | None) -> None:
        error = FloodError("more packing than content")
        self.set_exception(error)
        if body is not None:
            body.set_exception(error)
        if self.transport is not None:
            self.transport.abort()


class FloodProofConnector(aiohttp.TCPConnector):
    """A connector whose connections are all of this kind."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        # aiohttp has no public way to say which protocol its connections speak through.
        factory = partial(FloodGuard, loop=asyncio.get_running_loop())
        self._factory = cast("partial[ResponseHandler]", factory)
