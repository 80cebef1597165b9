"""The reference pages of `docs/` that follow from code: `python -m imagelane.ops.reference --check|--write`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from imagelane.contracts.topic_files import read_topic_files, schemas_folder
from imagelane.ops import (
    event_catalogue,
    failure_page,
    lane_page,
    metrics_reference,
    settings_reference,
)
from imagelane.ops.capacity import showing as capacity_page


def pages(schemas: Path) -> dict[Path, str]:
    """Every page as it should be, by its path in the checkout to which `schemas` belongs."""
    docs = schemas.parent / "docs"
    return {
        docs / "events.md": event_catalogue.page(schemas),
        docs / "configuration.md": settings_reference.page(settings_reference.settings_classes()),
        docs / "failures.md": failure_page.page(),
        docs / "lanes.md": lane_page.page(),
        docs / "capacity.md": capacity_page.page(read_topic_files(schemas)),
        docs / "metrics.md": metrics_reference.page(metrics_reference.declared()),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 where a page is not current."""
    parser = argparse.ArgumentParser(prog="imagelane.ops.reference", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="name the pages that are not current")
    action.add_argument("--write", action="store_true", help="write them")
    options = parser.parse_args(arguments)
    stale = {
        path: text
        for path, text in pages(schemas_folder()).items()
        if not path.exists() or path.read_text() != text
    }
    for path, text in stale.items():
        if options.write:
            path.write_text(text)
        sys.stderr.write(f"{path}: {'written' if options.write else 'not current'}\n")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
