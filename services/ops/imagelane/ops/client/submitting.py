"""Handing in a list by HTTP: a file, standard input or an address, under one idempotency key however often it takes."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import msgspec

from imagelane.ops.client.gateway import Gateway
from imagelane.ops.client.patience import Tell, patiently

PIECE_BYTES: Final = 1 << 18
MAX_KEPT_BYTES: Final = 1 << 30
"""No gateway can be set to take more."""
FORMATS: Final = {"csv": "csv", "json": "json", "txt": "text"}
JOBS: Final = "/v1/jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted beside the list, by the API's names, as texts. None is left to the gateway."""

    customer_id: str | None = None
    recipe: str | None = None
    destination: str | None = None
    deadline: str | None = None
    notify_url: str | None = None
    list_format: str | None = None
    list_column: str | None = None

    def parameters(self) -> dict[str, str]:
        """Those that are given."""
        return {name: text for name, text in asdict(self).items() if text is not None}


@contextmanager
def opened(path: Path | None, stdin: BinaryIO) -> Iterator[BinaryIO]:
    """The file, or all of standard input without one; never in memory as a whole, and ready to be sent twice.

    What cannot be read again is first kept in a file without a name: whoever writes into a pipe may take
    longer than the gateway would wait. Raises `OSError`.
    """
    if path is None:
        with _kept(stdin) as file:
            yield file
    else:
        with path.open("rb") as file:
            if file.seekable():
                yield file
            else:
                with _kept(file) as kept:
                    yield kept


@contextmanager
def _kept(stream: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        for piece in iter(partial(stream.read, PIECE_BYTES), b""):
            file.write(piece)
            if file.tell() > MAX_KEPT_BYTES:
                raise OSError(errno.EFBIG, f"it has more than {MAX_KEPT_BYTES:,} bytes")
        yield file


def format_of(path: Path | None) -> str | None:
    """What the file's name says of its format; where it says nothing, the list's first character does."""
    if path is None:
        return None
    name = path.name.lower().removesuffix(".gz")
    return FORMATS.get(name.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class Submitter:
    """Sends a list until the gateway has it or refuses it, or nothing has come of it for `patience_seconds`.

    Every attempt has the same key, so one that was taken, and whose answer was lost, is not taken twice.
    """

    gateway: Gateway
    key: str
    tell: Tell
    patience_seconds: float

    async def list_at(self, url: str, wish: Wish) -> bytes:
        """Hands in a list that lies somewhere; the API's answer. Raises `GatewayError`."""
        body = msgspec.json.encode({"list_url": url, **wish.parameters()})
        return await self._send({}, "application/json", lambda: body)

    async def list_in(self, file: BinaryIO, wish: Wish) -> bytes:
        """Hands in a list as it is read; the API's answer. Raises `GatewayError`."""
        length = {"Content-Length": str(file.seek(0, os.SEEK_END))}
        return await self._send(
            wish.parameters(), "application/octet-stream", lambda: _pieces(file), length
        )

    async def _send(
        self,
        params: Mapping[str, str],
        content_type: str,
        body: Callable[[], object],
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> bytes:
        every = {"Content-Type": content_type, "Idempotency-Key": self.key, **headers}
        return await patiently(
            lambda: self.gateway.send("POST", JOBS, params=params, data=body(), headers=every),
            seconds=self.patience_seconds,
            tell=self.tell,
        )


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE_BYTES):
        yield piece
