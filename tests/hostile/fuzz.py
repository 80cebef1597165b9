"""Fuzzing with atheris: `python -m tests.hostile.fuzz TARGET [--seconds 600] [--corpus build/fuzz]`.

Ends with an error at the first crash, which lies in the corpus folder then. What once was a crash is kept in
`tests/hostile/corpus/TARGET` and is run by `test_corpus.py` with every change.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

SEEDS: Final = Path(__file__).parent / "corpus"
OPTIONS: Final = ("-max_len=4096", "-timeout=10", "-rss_limit_mb=1024")


def main() -> None:
    """Runs one target for so many seconds."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    given = parser.parse_args()
    try:
        import atheris  # noqa: PLC0415 # only here: no other test needs it
    except ImportError:
        sys.exit("fuzzing needs atheris: `make fuzz` installs it beside everything else")
    with atheris.instrument_imports(include=["imagelane", "yarl", "tests"]):
        from tests.hostile.fuzz_targets import TARGETS  # noqa: PLC0415 # while atheris watches
    if given.target not in TARGETS:
        parser.error(f"the targets are {', '.join(TARGETS)}")
    own = given.corpus / given.target
    own.mkdir(parents=True, exist_ok=True)
    options = (*OPTIONS, f"-max_total_time={given.seconds}", f"-artifact_prefix={own}/")
    arguments = [sys.argv[0], *options, str(own), str(SEEDS / given.target)]
    atheris.Setup(arguments, TARGETS[given.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
