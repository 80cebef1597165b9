"""Makes photos and a list of their addresses in a folder, and serves both: `demo_photos.py FOLDER COUNT`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from imagelane.ops.photos import make_photos

ORIGIN = "http://photos:8090"


def main(folder: Path, count: int) -> None:
    """Becomes the image server when all are made."""
    photos = make_photos(folder, count, broken=count // 20)
    names = [*photos.good, *photos.broken]
    (folder / "list.txt").write_text("".join(f"{ORIGIN}/{name}\n" for name in names))
    server = ["-m", "imagelane.ops.image_server", "--folder", str(folder)]
    listen = ["--host", "0.0.0.0", "--port", "8090"]  # noqa: S104 - in a container
    os.execv(sys.executable, [sys.executable, *server, *listen])  # noqa: S606 - there is no shell to want


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
