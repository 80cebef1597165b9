#!/usr/bin/env bash
# Validates schemas/asyncapi.yaml with AsyncAPI's own parser, an npm package.
# Usage: check.sh [folder to keep the package in; build/asyncapi by default]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${1:-$root/build/asyncapi}

for tool in node npm; do
  if ! command -v "$tool" >/dev/null; then
    echo "check.sh: $tool is missing; install Node.js 20 or newer, which brings node and npm" >&2
    exit 2
  fi
done

mkdir -p "$cache"
cp "$here/validate.js" "$cache/"
if ! cmp --silent "$here/package.json" "$cache/installed.json"; then
  cp "$here/package.json" "$cache/"
  (cd "$cache" && npm install --ignore-scripts --no-package-lock --no-audit --no-fund --loglevel=error)
  cp "$here/package.json" "$cache/installed.json"
fi
cd "$root"
node "$cache/validate.js" schemas/asyncapi.yaml
