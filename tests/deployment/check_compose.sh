#!/usr/bin/env bash
# The Dockerfiles and docker-compose.yml, by hadolint, the specification's schema, Compose's own library and our tests.
# Usage: check_compose.sh [folder to keep the tools in; build/tools by default]. What is missing is named: exit code 2.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

need_go 1.24 "a reader of Compose files"
python_tools linters
reader=$(compose_reader)
tools_only

"$cache/linters/bin/hadolint" services/*/Dockerfile
"$cache/linters/bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
"$reader" docker-compose.yml
for seeded in 's/^    mem_limit:/    mem_limits:/' 's/^      kafka: {condition/      kafkaa: {condition/' 's/127.0.0.1:7070:7070/127.0.0.1:7070:x/'; do
  sed "$seeded" docker-compose.yml > "$secrets/docker-compose.yml"
  if "$reader" "$secrets/docker-compose.yml" 2>/dev/null; then
    echo "check_compose.sh: the reader did not see a mistake that was made on purpose: $seeded" >&2
    exit 1
  fi
done
.venv/bin/pytest -q tests/deployment/test_images.py tests/deployment/test_compose.py
