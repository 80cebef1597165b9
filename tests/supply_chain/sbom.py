"""A CycloneDX SBOM per service, from the lock of its image: `python -m tests.supply_chain.sbom CYCLONEDX FOLDER`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.supply_chain.licences import licence_of, locks

ROOT: Final = Path(__file__).parents[2]


def make(cyclonedx: str, service: str, lock: Path, folder: Path) -> Path:
    """Writes `<service>.json`: every package with version, hashes and licence, below the service itself."""
    target = folder / f"{service}.json"
    subprocess.run(
        [
            *(cyclonedx, "requirements", str(lock)),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application"),
            *("--output-format", "JSON", "--output-reproducible", "--output-file", str(target)),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    bom = json.loads(target.read_text(encoding="utf-8"))
    target.write_text(json.dumps(completed(bom, service), indent=1), encoding="utf-8")
    return target


def completed(bom: dict[str, Any], service: str) -> dict[str, Any]:
    """What the tool cannot know of a lock: whose it is, licences, and no line of a file as a description."""
    root = bom["metadata"]["component"]
    root |= {"name": f"imagelane-{service}", "bom-ref": f"imagelane-{service}"}
    for component in bom["components"]:
        component["licenses"] = [{"expression": licence_of(component["name"].lower())}]
        component.pop("description", None)
        component["bom-ref"] = component["purl"]
        # Where it was fetched from is the fetcher's affair; its hashes are what counts.
        for reference in component.get("externalReferences", ()):
            reference["url"] = component["purl"]
    refs = sorted(component["bom-ref"] for component in bom["components"])
    bom["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": refs}]
    return bom


def main(arguments: list[str]) -> int:
    """The command."""
    cyclonedx, folder = arguments[0], Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    for service, lock in locks().items():
        made = make(cyclonedx, service, lock, folder)
        count = len(json.loads(made.read_text(encoding="utf-8"))["components"])
        sys.stdout.write(f"{made}: {count} packages\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
