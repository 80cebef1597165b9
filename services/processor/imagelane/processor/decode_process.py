"""The parent's end of one decode child: start it, hand it an image, notice that it crashed or hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import msgspec

from imagelane.core.failures import Code
from imagelane.processor import messages
from imagelane.processor.confinement import Confinement

COMMAND: Final = ("-I", "-m", "imagelane.processor.decode_child")
ENVIRONMENT: Final = {
    # Without these glibc gives each image's pixels back to the kernel and faults them in anew.
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=4294967296",
    "OMP_NUM_THREADS": "1",
}
START_SECONDS: Final = 30.0


class ChildStartError(Exception):
    """A child ended before it was ready: the installation is broken, or the machine has no room."""


class ChildGoneError(Exception):
    """The child had ended before it was handed the image, which is not at fault."""


class ChildFailedError(Exception):
    """The image cost the child its life. Carries the public code that fits."""

    code = Code.PROCESSING_CRASH


class ChildTimedOutError(ChildFailedError):
    """The image took too much time, by the clock or of the CPU."""

    code = Code.PROCESSING_TIMEOUT


@dataclass(slots=True, eq=False)
class DecodeProcess:
    """One running child. After any of its errors it has to be ended."""

    process: asyncio.subprocess.Process
    channel: socket.socket
    walls: Sequence[str] = ()
    images: int = 0

    @classmethod
    async def start(cls, confinement: Confinement) -> Self:
        """A child that waits for work. Raises `ChildStartError`; the child said why on standard error."""
        channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel.setblocking(False)
        try:
            with theirs:
                child = cls(await _spawn(confinement, theirs.fileno()), channel)
        except BaseException:
            channel.close()
            raise
        try:
            async with asyncio.timeout(START_SECONDS):
                child.walls = messages.decode_ready(await child._receive()).walls
        except (TimeoutError, msgspec.MsgspecError) as error:
            ending = await child.end()
            raise ChildStartError(f"a decode child did not become ready: {ending}") from error
        except BaseException:
            await child.end()
            raise
        return child

    async def work(
        self, request: bytes, descriptors: Sequence[int], *, wall_seconds: float
    ) -> messages.Answer:
        """Hands over one image. Raises `ChildGoneError`, `ChildFailedError`, `ChildTimedOutError`."""
        try:
            socket.send_fds(self.channel, [request], descriptors)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildGoneError(await self.end()) from error
        self.images += 1
        try:
            async with asyncio.timeout(wall_seconds):
                data = await self._receive()
        except TimeoutError:
            raise ChildTimedOutError(f"no answer for {wall_seconds} s") from None
        if not data:
            ending = await self.end()
            failed = ChildTimedOutError if self._ran_out_of_cpu() else ChildFailedError
            raise failed(ending)
        try:
            reply = messages.decode_reply(data)
        except msgspec.MsgspecError as error:
            raise ChildFailedError(f"nonsense from the child: {error}") from error
        if isinstance(reply, messages.Fallen):
            raise ChildFailedError(reply.reason)
        return reply

    async def end(self) -> str:
        """Kills the child if it still runs, and tells how it ended. May be called again."""
        self.channel.close()
        if self.process.returncode is None:
            with suppress(ProcessLookupError):  # it was quicker
                os.killpg(self.process.pid, signal.SIGKILL)  # with whatever it has started
            await self.process.wait()
        status = self.process.returncode or 0
        return f"exit {status}" if status >= 0 else signal.Signals(-status).name

    async def _receive(self) -> bytes:
        """The next datagram; empty when the child has ended."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.sock_recv(self.channel, messages.MAX_MESSAGE_BYTES)
        except (
            ConnectionResetError
        ):  # told once if it ended with a request unread; then what it said
            return await loop.sock_recv(self.channel, messages.MAX_MESSAGE_BYTES)

    def _ran_out_of_cpu(self) -> bool:
        return self.process.returncode == -signal.SIGXCPU


async def _spawn(confinement: Confinement, channel: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *COMMAND,
        msgspec.json.encode(confinement).decode(),
        stdin=channel,
        stdout=asyncio.subprocess.DEVNULL,
        env=ENVIRONMENT,
        start_new_session=True,  # a terminal's Ctrl-C is for the parent
    )
