#!/usr/bin/env bash
# Fuzzes each target in turn. Usage: fuzz.sh FOLDER SECONDS [TARGET…]; atheris is kept in FOLDER, apart from what we install.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$1 seconds=$2
shift 2
[ $# -gt 0 ] || set -- admission lists unpacking headers answers

lock="$root/tests/hostile/fuzz.lock" folder="$cache/atheris"
if ! cmp --silent "$lock" "$folder/installed.lock"; then
  echo "installing what fuzz.lock says …" >&2
  rm -rf "$folder"
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --target "$folder" --requirement "$lock"
  cp "$lock" "$folder/installed.lock"
fi
cd "$root"
for target in "$@"; do
  PYTHONPATH="$folder" .venv/bin/python -m tests.hostile.fuzz "$target" --seconds "$seconds"
done
