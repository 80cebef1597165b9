"""Servers on loopback that misbehave as told, and names that lead where a test says."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

JPEG: Final = b"\xff\xd8\xff\xe0" + bytes(1_000)
HOST: Final = "127.0.0.1"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def response(
    body: bytes = JPEG, *headers: str, status: str = "200 OK", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", f"Location: {location}", status=status)


def chunked(*chunks: bytes) -> bytes:
    """A head, and chunks as they stand: not closed."""
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class Server:
    """Answers each request by `answer`; remembers what it was asked, and how many came at a time."""

    answer: Answer
    port: int = 0
    speaks_first: bool = False
    connections: int = 0
    under_way: int = 0
    most_under_way: int = 0
    sent_bytes: int = 0
    requests: list[bytes] = field(default_factory=list)
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    @property
    def place(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while not writer.is_closing():
                if not self.speaks_first:
                    self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                try:
                    await self.answer(reader, writer)
                finally:
                    self.under_way -= 1
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        except asyncio.CancelledError:
            return  # the test is over
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def listening(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, HOST, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        left = [task for task in server.tasks if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def says(*answers: bytes, then_close: bool = False) -> Answer:
    """Sends one answer after the other, the last one for ever."""
    left = deque(answers)

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(left.popleft() if len(left) > 1 else left[0])
        await writer.drain()
        if then_close:
            writer.close()

    return answer


def drips(first: bytes, drop: bytes, every_seconds: float) -> Answer:
    """The first bytes, and then drops without end; no drops at all is silence."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(every_seconds)

    return answer


def resets(first: bytes) -> Answer:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        writer.transport.abort()

    return answer


Found = Sequence[str] | OSError


@dataclass
class Names:
    """What names lead to: one answer after the other, the last one for ever. Exceptions are raised."""

    known: dict[str, list[Found]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def lead(self, name: str, *answers: Found) -> None:
        """`name` as it is looked up, so with its dot at the end."""
        self.known[name] = list(answers)

    def __call__(self, name: str) -> Sequence[str]:
        self.asked[name] += 1
        answers = self.known.get(name, [socket.gaierror(socket.EAI_NONAME, "no such name")])
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(found, OSError):
            raise found
        return found
