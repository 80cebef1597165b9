"""Whether secrets lie in files that only we can read."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagelane.ops.doctor.core.findings import Finding, Report


@dataclass(frozen=True, slots=True)
class SecretFileSeen:
    """`error`: why it cannot be read, empty if it can. `mode` as `stat` tells it."""

    variable: str
    path: str
    error: str = ""
    size_bytes: int = 0
    mode: int = 0


def judge_secret_files(seen: Sequence[SecretFileSeen]) -> Report:
    """Unreadable, empty and world-readable ones are findings."""
    good = [one for one in seen if not any(_wrong(one))]
    facts = tuple(f"{one.path} is readable, for us only" for one in good)
    skipped = "" if seen else "no variable names a file with a secret"
    return Report(facts, tuple(found for one in seen for found in _wrong(one)), skipped)


def _wrong(file: SecretFileSeen) -> Iterator[Finding]:
    if file.error:
        yield Finding(
            file.variable,
            f"{file.path} cannot be read: {file.error}",
            "mount the secret there, readable for the user of the services",
        )
        return
    if file.size_bytes == 0:
        yield Finding(file.variable, f"{file.path} is empty", "write the secret into it")
    if file.mode & (stat.S_IROTH | stat.S_IWOTH):
        yield Finding(
            file.variable,
            f"{file.path} can be read by everybody on this machine (mode {file.mode & 0o777:04o})",
            f"`chmod o-rwx {file.path}`; in Kubernetes `defaultMode: 0440` of the volume",
        )
