"""`docs/licences.md`: under which licences we deliver what others wrote, from the installed packages' metadata.

`python -m tests.supply_chain.licences --check|--write`. A licence outside `ALLOWED` ends it with 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "licences.md"

ALLOWED: Final = frozenset(
    {
        *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-CMU", "PSF-2.0"),
        "LicenseRef-Repoze",  # BSD in other words
        "LGPL-3.0-only",  # psycopg: imported as it comes, and replaceable, which is what it asks for
        "MPL-2.0",  # certifi: a list of certificates, unchanged
    }
)
OTHER_WORDS: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD-derived (Repoze)": "LicenseRef-Repoze",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
"""What packages without an SPDX expression say, and what they mean."""
READ: Final[Mapping[str, str]] = {
    "colorama": "BSD-3-Clause",
    "faust-streaming": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "tzdata": "Apache-2.0",
    "uvloop": "Apache-2.0 OR MIT",
}
"""Read in their licence files: their metadata is not clear, or they are for Windows only."""
_locked: Final = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE).findall
_installed: Final = re.compile(r"-r (requirements\S*\.lock)").findall


@dataclass(frozen=True, slots=True)
class Package:
    """A package that we deliver, and in which of our images."""

    name: str
    licence: str
    services: tuple[str, ...]


class UnknownLicenceError(Exception):
    """A package says nothing that is understood; the message names it, and what to do."""


def locks() -> dict[str, Path]:
    """By service, the lock that its image installs: the last one that its Dockerfile names."""
    dockerfiles = sorted(ROOT.glob("services/*/Dockerfile"))
    installed = {path.parent.name: _installed(path.read_text("utf-8"))[-1] for path in dockerfiles}
    return {service: ROOT / lock for service, lock in installed.items()}


def packages() -> list[Package]:
    """Everything that the images install. Raises `UnknownLicenceError`."""
    users: dict[str, list[str]] = {}
    for service, lock in locks().items():
        for name in _locked(lock.read_text(encoding="utf-8")):
            users.setdefault(name.lower(), []).append(service)
    return [Package(name, licence_of(name), tuple(used)) for name, used in sorted(users.items())]


def licence_of(name: str) -> str:
    """The SPDX expression of an installed package. Raises `UnknownLicenceError`."""
    if name in READ:
        return READ[name]
    try:
        words = list(_words_of(name))
    except PackageNotFoundError:
        raise UnknownLicenceError(
            f"{name} is not installed: `make` installs it, or name it in READ"
        ) from None
    for word in words:
        meant = OTHER_WORDS.get(word, word)
        if is_understood(meant):
            return meant
    raise UnknownLicenceError(
        f"{name} says {' / '.join(words) or 'nothing'}: read its licence, then name it in"
        " ALLOWED, OTHER_WORDS or READ of tests/supply_chain/licences.py, or do without it"
    )


def is_understood(expression: str) -> bool:
    """Whether all parts joined by AND are allowed, and one of those joined by OR."""
    return any(
        all(part.strip(" ()") in ALLOWED for part in either.split(" AND "))
        for either in expression.split(" OR ")
    )


def _words_of(name: str) -> Iterator[str]:
    told = metadata(name)
    for field in ("License-Expression", "License"):
        if field in told:
            yield from told[field].strip().splitlines()[:1]
    for classifier in told.get_all("Classifier") or []:
        if classifier.startswith("License ::"):
            yield classifier.rsplit("::", 1)[-1].strip()


def page() -> str:
    """The whole page. Raises `UnknownLicenceError`."""
    found = packages()
    services = sorted({service for one in found for service in one.services})
    rows = [f"| `{one.name}` | {one.licence} | {_in(one.services, services)} |" for one in found]
    return "\n".join([_HEAD, *rows, ""])


def _in(used: tuple[str, ...], services: list[str]) -> str:
    return "all" if list(used) == services else ", ".join(used)


_HEAD: Final = """\
# Licences of what others wrote

Made from the services' locks and the installed packages' metadata by `python -m tests.supply_chain.licences --write`;
a test fails for a licence that is not on its list. Versions and hashes are in the locks, and in `build/sbom` after
`make sbom`. Kafka, PostgreSQL, the S3 server and the base images come from elsewhere under their own licences.

| package | licence | in the images of |
|---|---|---|"""


def main(arguments: list[str]) -> int:
    """The command; 1 where a licence is not allowed, or the page is not current."""
    try:
        text = page()
    except UnknownLicenceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if arguments == ["--write"]:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        sys.stderr.write(
            f"{PAGE.name} is not current: python -m tests.supply_chain.licences --write\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
