"""What stands for the customers' servers: tiny images under as many URLs as needed, and lists of them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TINY_IMAGES: Final = 100


@dataclass(frozen=True, slots=True)
class Images:
    """A customer's server of tiny images and of lists, and the same images on a slower one."""

    url: str
    slow_url: str
    folder: Path

    def urls(self, count: int, *, slow: bool = False) -> list[str]:
        """So many URLs, no two the same."""
        base = self.slow_url if slow else self.url
        return [f"{base}/tiny-{n % TINY_IMAGES:06}.jpg?{n}" for n in range(count)]

    def put(self, name: str, data: bytes) -> str:
        """Serves these bytes as an image; the name's ending tells the content type."""
        (self.folder / name).write_bytes(data)
        return f"{self.url}/{name}"

    def put_list(self, name: str, lines: Sequence[str | bytes], *, packed: bool = False) -> str:
        """Serves a list."""
        raw = b"".join(
            (line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines
        )
        (self.folder / "lists" / name).write_bytes(gzip.compress(raw) if packed else raw)
        return f"{self.url}/list/{name}"

    def tiny(self) -> bytes:
        """The bytes of one of the images."""
        return (self.folder / "tiny-000000.jpg").read_bytes()


@contextmanager
def serving(folder: Path, delay_seconds: float) -> Iterator[str]:
    """Serves a folder of images, and its folder of lists, from a process of its own."""
    command = [sys.executable, "-m", "imagelane.ops.image_server", "--folder", str(folder)]
    command += ["--lists", str(folder / "lists"), "--delay-seconds", str(delay_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()
