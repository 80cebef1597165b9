"""Known vulnerabilities of what the locks name, by pip-audit: `python -m tests.supply_chain.audit PIP_AUDIT`.

Exit codes: 0 none known, 1 some known, or an exception of ours is out of date, 3 the data cannot be reached
from here, so that nothing is known. pip-audit itself ends with 0 in the last case, which says nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "requirements-dev.lock"
PROBE: Final = "aiohttp"
SOURCES: Final = ("pypi", "osv")
SECONDS: Final = 600
KNOWN, UNREACHED = 1, 3


@dataclass(frozen=True, slots=True)
class Accepted:
    """A vulnerability that does not reach us, and until when that is believed."""

    why: str
    until: date


ACCEPTED: Final[Mapping[str, Accepted]] = {}
"""By its id. After its day it counts again, so that somebody looks."""


def audited(pip_audit: str, requirements: str, source: str) -> dict[str, Any] | None:
    """The report, or None where the source cannot be reached."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(requirements)
        file.flush()
        done = subprocess.run(
            [
                *(pip_audit, "--requirement", file.name, "--no-deps", "--disable-pip"),
                *(
                    "--vulnerability-service",
                    source,
                    "--format",
                    "json",
                    "--progress-spinner",
                    "off",
                ),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    return None if all("skip_reason" in one for one in report["dependencies"]) else report


def findings(report: Mapping[str, Any], today: date) -> Iterator[str]:
    """What a person has to look at: vulnerabilities, and packages that could not be looked up."""
    for package in report["dependencies"]:
        if "skip_reason" in package:
            yield f"{package['name']}: {package['skip_reason']}"
        for vulnerability in package.get("vulns", ()):
            accepted = ACCEPTED.get(vulnerability["id"])
            if accepted is None or accepted.until < today:
                fixed = ", ".join(vulnerability.get("fix_versions", ())) or "no version yet"
                yield f"{package['name']} {package['version']}: {vulnerability['id']}, mended in {fixed}"


def locked(lock: str) -> str:
    """`name==version` of every package that is not for another system only."""
    pins = (line.rstrip(" \\") for line in lock.splitlines() if "==" in line and line[0] != " ")
    return "\n".join(pin for pin in pins if "win32" not in pin)


def main(arguments: list[str]) -> int:
    """The command."""
    (pip_audit,) = arguments
    pins = locked(LOCK.read_text(encoding="utf-8"))
    probe = next(pin for pin in pins.splitlines() if pin.startswith(f"{PROBE}=="))
    # One package first: where the source does not know it, the others need not be asked for.
    source = next((one for one in SOURCES if audited(pip_audit, probe, one) is not None), None)
    report = audited(pip_audit, pins, source) if source else None
    if report is None:
        sys.stderr.write(
            "pip-audit: neither PyPI's vulnerability data nor OSV can be reached from here, so nothing is known;"
            " run `make audit` where one of them can (exit code 3)\n"
        )
        return UNREACHED
    found = list(findings(report, datetime.now(UTC).date()))
    sys.stderr.writelines(f"{one}\n" for one in found)
    sys.stderr.write(f"{len(report['dependencies'])} packages looked up at {source}\n")
    return KNOWN if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
