"""A server of images and lists on loopback: what customers' servers are to the demo and the tests.

    python -m imagelane.ops.image_server --folder F [--lists F] [--port 0] [--delay-seconds 0]

`/<name>` is a file of the folder, `/list/<name>` one of the folder of lists; the rest is a 404.
A query is ignored, so that few files can stand for many URLs. One line of JSON says that it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import mimetypes
import os
import re
import signal
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

MAX_WHOLE_BYTES: Final = 64 * 1024
_is_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}").fullmatch


@dataclass(frozen=True, slots=True)
class Options:
    """What is served, and where. `delay_seconds` is waited before every answer."""

    folder: Path
    lists: Path
    port: int = 0
    delay_seconds: float = 0.0
    host: str = "127.0.0.1"


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options from the command line; wrong usage ends the process with 2 and a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m imagelane.ops.image_server", description="Serves images and lists."
    )
    parser.add_argument("--folder", type=_folder, required=True, help="the images")
    parser.add_argument("--lists", type=_folder, help="the lists; the images' folder if not given")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay-seconds", type=_seconds, default=0.0, help="before every answer")
    given = parser.parse_args(arguments)
    return Options(
        folder=given.folder,
        lists=given.lists or given.folder,
        host=given.host,
        port=given.port,
        delay_seconds=given.delay_seconds,
    )


@asynccontextmanager
async def serving(options: Options) -> AsyncIterator[str]:
    """Serves inside the block, at the address that it gives. Raises `OSError` for a taken port."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/list/{name}", _Files(options.lists, options.delay_seconds).serve),
            web.get("/{name}", _Files(options.folder, options.delay_seconds).serve),
        ]
    )
    server = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await server.setup()
    try:
        await web.TCPSite(server, options.host, options.port).start()
        yield f"http://{options.host}:{server.addresses[0][1]}"
    finally:
        await server.cleanup()


class _Files:
    def __init__(self, folder: Path, delay_seconds: float) -> None:
        self._folder = folder
        self._delay_seconds = delay_seconds

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        name = request.match_info["name"]
        path = self._folder / name
        found = _stat(path) if _is_name(name) else None
        if found is None:
            return web.Response(status=404, text="there is no such file\n")
        kind, _ = mimetypes.guess_type(name)
        headers = {"Content-Type": kind or "application/octet-stream"}
        if found.st_size <= MAX_WHOLE_BYTES and request.method == "GET":
            return web.Response(body=path.read_bytes(), headers=headers)
        return web.FileResponse(path, headers=headers)  # by sendfile


def _stat(path: Path) -> os.stat_result | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


async def _serve(options: Options) -> None:
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    async with serving(options) as url:
        sys.stdout.write(json.dumps({"ready": True, "url": url}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("seconds are not negative")
    return value


def main() -> None:
    """Serves until it is told to stop; exits with 2 and a sentence when the port is taken."""
    options = parse()
    try:
        asyncio.run(_serve(options))  # not uvloop, which has no sendfile
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.stderr.write(f"--port {options.port} on {options.host} is taken: choose another\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
