#!/usr/bin/env bash
# What we deliver of others: an SBOM per service in build/sbom, licences, known vulnerabilities.
# Usage: check_supply_chain.sh [folder to keep the tools in] [sbom|audit]. Exit code 3: nothing is known of vulnerabilities.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
what=${2:-all}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

python_tools auditors
if [ "$what" != audit ]; then
  .venv/bin/python -m tests.supply_chain.sbom "$cache/auditors/bin/cyclonedx-py" build/sbom
  "$cache/auditors/bin/python" - build/sbom/*.json <<'PYTHON'
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

for path in sys.argv[1:]:
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(path).read_text("utf-8")):
        sys.exit(f"{path} is no CycloneDX: {str(wrong).splitlines()[0]}")
PYTHON
fi
if [ "$what" = all ]; then
  .venv/bin/python -m tests.supply_chain.licences --check
fi
if [ "$what" != sbom ]; then
  .venv/bin/python -m tests.supply_chain.audit "$cache/auditors/bin/pip-audit"
fi
