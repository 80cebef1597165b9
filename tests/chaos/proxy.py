"""A TCP proxy that a test can make as bad as any network: late, slow, cut, deaf, or silent on the way back."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 64 * 1024
LAST_ANSWER_SECONDS: Final = 10.0
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Weather:
    """What goes wrong on the way, for connections that are open and for new ones alike."""

    delay_seconds: float = 0.0
    """Before each piece, in both directions."""
    late_seconds: float = 0.0
    """Requests arrive so late, even when the client has gone in the meantime."""
    bytes_per_second: float = float("inf")
    """In each direction of each connection."""
    refuse: bool = False
    """New connections are reset."""
    cut_answers: bool = False
    """Requests arrive whole; the connection is reset when the answer comes."""
    reset_after_bytes: int | None = None
    """Connections are reset when so many bytes of requests have arrived."""
    deaf: bool = False
    """Nothing is forwarded to the server until this ends: it then arrives, as TCP would have it."""
    mute: bool = False
    """The same for what the server says."""
    only: bytes = b""
    """`late`, `cut` and `reset_after` concern requests that begin with these bytes."""


@dataclass(eq=False, slots=True)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    request: bytes = b""
    asked_bytes: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        for writer in (self.client, self.server):
            _reset(writer)


class Proxy:
    """Forwards to `upstream_port` of loopback. Set `weather` at any time; `calm` ends everything bad."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._weather = Weather()
        self._changed = asyncio.Condition()
        self._connections: set[_Connection] = set()
        self.cuts = 0
        self.port = 0

    @property
    def weather(self) -> Weather:
        """The present one."""
        return self._weather

    async def set(self, weather: Weather) -> None:
        """From now on it is so."""
        async with self._changed:
            self._weather = weather
            self._changed.notify_all()

    async def calm(self) -> None:
        """Everything arrives again."""
        await self.set(Weather())

    def reset_all(self) -> None:
        """Resets every open connection."""
        for one in [*self._connections]:
            one.reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        if self._weather.refuse:
            _reset(writer)
            return
        try:
            upstream, server = await asyncio.open_connection(HOST, self._upstream_port)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(writer, server)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(connection, reader))
                both.create_task(self._answer(connection, upstream))
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _ask(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        late = False
        while data := await _read(reader):
            if data[:4] in {b"POST", b"GET "}:
                connection.request = data[:64]
            weather = self._weather
            concerned = connection.request.startswith(weather.only)
            if weather.late_seconds and concerned:
                late = True
                await asyncio.sleep(weather.late_seconds)
            await self._pass("deaf", len(data))
            connection.asked_bytes += len(data)
            limit = self._weather.reset_after_bytes
            if limit is not None and concerned and connection.asked_bytes > limit:
                await _write(connection.server, data[: -(connection.asked_bytes - limit)])
                self._cut(connection)
                return
            await _write(connection.server, data)
        if late:  # the client has given up, and the server shall not notice before it has acted
            await _within(connection.answered, LAST_ANSWER_SECONDS)
        connection.server.close()

    async def _answer(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        while data := await _read(reader):
            await self._pass("mute", len(data))
            connection.answered.set()
            weather = self._weather
            if weather.cut_answers and connection.request.startswith(weather.only):
                self._cut(connection)
                return
            await _write(connection.client, data)
        connection.answered.set()
        connection.client.close()

    async def _pass(self, silence: str, count: int) -> None:
        await asyncio.sleep(self._weather.delay_seconds + count / self._weather.bytes_per_second)
        async with self._changed:
            await self._changed.wait_for(lambda: not getattr(self._weather, silence))

    def _cut(self, connection: _Connection) -> None:
        self.cuts += 1
        connection.reset()


@asynccontextmanager
async def proxying(upstream_port: int, port: int) -> AsyncIterator[Proxy]:
    """A proxy at `port` for the block."""
    proxy = Proxy(upstream_port)
    proxy.port = port
    server = await asyncio.start_server(proxy.serve, HOST, port)
    try:
        yield proxy
    finally:
        server.close()
        await proxy.calm()
        proxy.reset_all()
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK_BYTES)
    except OSError:
        return b""


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        writer.write(data)
        await writer.drain()
    except OSError:
        return  # the other side has gone, which the reading task sees as well


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _reset(writer: asyncio.StreamWriter) -> None:
    own: socket.socket | None = writer.get_extra_info("socket")
    if own is not None and own.fileno() >= 0:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
