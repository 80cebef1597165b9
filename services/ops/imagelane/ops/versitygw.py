"""versitygw, the S3 server of stacks and tests on this machine: found, or built with Go."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from imagelane.ops.broker.server import HOST
from imagelane.ops.local_stack import LocalSetupError
from imagelane.platform.secret_files import read_secret

VERSION: Final = "v1.8.0"
MODULE: Final = "github.com/versity/versitygw/cmd/versitygw"
HEALTH: Final = "/health"
TOLD_EVERY_SECONDS: Final = 10.0

Say = Callable[[str], None]


def find(cache: Path, say: Say) -> Path:
    """The program: the machine's, the cache's, or built into the cache now. Raises `LocalSetupError`."""
    machine = shutil.which("versitygw")
    if machine is not None:
        return Path(machine)
    program = cache / "go" / f"versitygw-{VERSION}" / "versitygw"
    if not program.exists():
        _build(program.parent, say)
    return program


def command(
    program: Path, folder: Path, *, port: int, access_key_id: str, secret_file: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command that serves what lies in `folder`, a bucket being a folder of it, and its environment.

    The program takes its keys from the environment only.
    """
    arguments = ("--port", f"{HOST}:{port}", "--health", HEALTH, "--quiet", "posix", str(folder))
    secret = read_secret(secret_file)
    return (str(program), *arguments), {"ROOT_ACCESS_KEY": access_key_id, "ROOT_SECRET_KEY": secret}


def _build(folder: Path, say: Say) -> None:
    go = shutil.which("go")
    if go is None:
        raise LocalSetupError(
            f"versitygw is missing, and Go to build it: put versitygw {VERSION} on the PATH,"
            " or install Go 1.24 or newer"
        )
    say(f"building versitygw {VERSION} with Go (once, about two minutes) …")
    folder.mkdir(parents=True, exist_ok=True)
    building = ("/usr/bin/env", f"GOBIN={folder}", go, "install", "-v", f"{MODULE}@{VERSION}")
    lines: list[str] = []
    told_at = time.monotonic()
    with subprocess.Popen(
        building, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if time.monotonic() > told_at + TOLD_EVERY_SECONDS:
                told_at = time.monotonic()
                downloaded = sum(line.startswith("go: downloading") for line in lines)
                say(f"… {downloaded} modules fetched, {len(lines) - downloaded} packages compiled")
    if process.returncode != 0:
        raise LocalSetupError(f"Go could not build versitygw:\n{''.join(lines)[-2_000:].strip()}")
