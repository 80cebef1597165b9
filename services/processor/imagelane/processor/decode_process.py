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
from imagelane.core.image_formats import HEAD_BYTES, format_of
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
    """The child was of no use before it was handed the image, which is not at fault."""


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
    _heard: asyncio.Future[bytes] | None = None
    _spoke_out_of_turn: bool = False

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
            child._listen()
            child.walls = messages.decode_ready(await child._receive(START_SECONDS)).walls
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
        if self._spoke_out_of_turn:
            raise ChildGoneError(f"it ended or spoke out of turn: {await self.end()}")
        number = self.images.to_bytes(messages.NUMBER_BYTES)
        try:
            socket.send_fds(self.channel, [number, request], descriptors)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildGoneError(await self.end()) from error
        self.images += 1
        try:
            data = await self._receive(wall_seconds)
        except TimeoutError:
            raise ChildTimedOutError(f"no answer for {wall_seconds} s") from None
        if not data:
            ending = await self.end()
            failed = ChildTimedOutError if self._ran_out_of_cpu() else ChildFailedError
            raise failed(ending)
        if not data.startswith(number):
            raise ChildFailedError("an answer to another request")
        try:
            reply = messages.decode_reply(data[messages.NUMBER_BYTES :])
        except msgspec.MsgspecError as error:
            raise ChildFailedError(f"nonsense from the child: {error}") from error
        if isinstance(reply, messages.Fallen):
            raise ChildFailedError(reply.reason)
        if isinstance(reply, messages.Made):
            _check_files(reply, descriptors[1:])
        return reply

    async def end(self) -> str:
        """Kills the child if it still runs, and tells how it ended. May be called again."""
        self._stop_listening()
        self.channel.close()
        if self.process.returncode is None:
            with suppress(ProcessLookupError):  # it was quicker
                os.killpg(self.process.pid, signal.SIGKILL)  # with whatever it has started
            await self.process.wait()
        status = self.process.returncode or 0
        return f"exit {status}" if status >= 0 else signal.Signals(-status).name

    def _listen(self) -> None:
        """From now on whatever the child says is read when it comes: once for each time it is asked."""
        asyncio.get_running_loop().add_reader(self.channel, self._hear)

    def _hear(self) -> None:
        heard = self._heard
        try:
            data = self.channel.recv(messages.MAX_MESSAGE_BYTES)
        except (BlockingIOError, ConnectionResetError):
            return  # the second is told once if it ended with a request unread; then what it said
        if heard is None or heard.done():
            self._stop_listening()  # nobody asked, or it has said enough
            self._spoke_out_of_turn = True
        else:
            heard.set_result(data)

    def _stop_listening(self) -> None:
        if self.channel.fileno() >= 0:  # not closed yet
            asyncio.get_running_loop().remove_reader(self.channel)

    async def _receive(self, seconds: float) -> bytes:
        """The next datagram; empty when the child has ended. Raises `TimeoutError`."""
        loop = asyncio.get_running_loop()
        self._heard = loop.create_future()
        late = loop.call_later(seconds, _give_up, self._heard)
        try:
            return await self._heard
        finally:
            late.cancel()

    def _ran_out_of_cpu(self) -> bool:
        return self.process.returncode == -signal.SIGXCPU


def _give_up(heard: asyncio.Future[bytes]) -> None:
    if not heard.done():
        heard.set_exception(TimeoutError())


def _check_files(made: messages.Made, targets: Sequence[int]) -> None:
    """Raises `ChildFailedError` if an output is not there, or is no image at all."""
    if len(made.sizes) != len(targets):
        raise ChildFailedError(f"{len(made.sizes)} sizes for {len(targets)} outputs")
    if not all(format_of(os.pread(target, HEAD_BYTES, 0)) for target in targets):
        raise ChildFailedError("the child says that it wrote an output, and it is no image")


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
