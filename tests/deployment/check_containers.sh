#!/usr/bin/env bash
# Builds every service's Dockerfile with podman, on a stand-in of the base image made of Debian's packages, and starts
# each: as nobody, without rights, read-only, without a network. Needs root. Usage: check_containers.sh [folder to keep the base in].
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

[ "$(id -u)" = 0 ] || missing root "podman makes containers here as root only"
for tool in podman buildah runc debootstrap; do
  command -v "$tool" >/dev/null || missing "$tool" \
    "apt-get install --no-install-recommends podman buildah runc netavark aardvark-dns iptables debootstrap"
done

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
cat > "$state/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
export CONTAINERS_CONF="$state/containers.conf"
base=localhost/imagelane-base:latest
tar="$cache/debian-trixie-python.tar"

if [ ! -f "$tar" ]; then
  echo "making the base image …" >&2
  folder=$(mktemp -d -p "$state")
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates trixie "$folder" > "$state/debootstrap.log" \
    || { tail -5 "$state/debootstrap.log" >&2; exit 1; }
  rm -rf "$folder"/usr/lib/python3*/EXTERNALLY-MANAGED "$folder"/var/cache/apt/archives/*.deb
  ln -sf python3 "$folder/usr/bin/python"
  mkdir -p "$cache"
  tar --directory "$folder" --create --file "$tar.new" . && mv "$tar.new" "$tar"
fi
podman image exists "$base" || podman import --quiet "$tar" "$base" >/dev/null

# The package client's own settings, as this machine has them.
client=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
[ -f /etc/pip.conf ] && client+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
if [ -n "${PIP_CERT:-}" ]; then client+=(--volume "$PIP_CERT:$PIP_CERT:ro"); fi

# Runs an image as a cluster would, but with no network at all.
confined() {
  podman run --rm --read-only --tmpfs /tmp:size=16m --cap-drop all --security-opt no-new-privileges --network none \
    --memory 256m --pids-limit 64 "$@"
}

passed=0
for dockerfile in services/*/Dockerfile; do
  service=$(basename "$(dirname "$dockerfile")")
  image="localhost/imagelane/$service:test"
  echo "$service: building" >&2
  podman build --quiet --format docker --pull=never --network host "${client[@]}" --build-arg PYTHON="$base" \
    --file "$dockerfile" --tag "$image" . >/dev/null

  if [ "$service" != ops ] && ! podman image inspect "$image" | grep -q 'urllib.request'; then
    echo "$service has no health check" >&2
    exit 1
  fi
  user=$(confined --entrypoint python "$image" -c 'import os; print(os.getuid(), os.getgid())')
  [ "$user" = "10001 10001" ] || { echo "$service runs as $user" >&2; exit 1; }
  wanted=$(find services/shared/imagelane "services/$service/imagelane" -mindepth 1 -maxdepth 1 -type d -not -name __pycache__ -printf '%f\n' | sort -u | xargs)
  case $service in ops) wanted="" ;; standin) wanted="contracts standin" ;; esac  # the schemas are a part of contracts
  found=$(confined --entrypoint python "$image" -c 'import imagelane, pkgutil, os; print(*sorted({n for p in imagelane.__path__ for n in os.listdir(p)} - {"__pycache__"}))')
  [ -z "$wanted" ] || [ "$found" = "$wanted" ] || { echo "$service holds $found, not $wanted" >&2; exit 1; }
  ! confined --entrypoint sh "$image" -c 'touch /app/x' 2>/dev/null || { echo "$service can write to its image" >&2; exit 1; }

  code=0
  said=$(confined "$image" 2>&1) || code=$?
  if [ "$service" != ops ] && { [ "$code" != 2 ] || ! grep -qE 'IMAGELANE_|--journal' <<< "$said"; }; then
    echo "$service without settings ended with $code: $said" >&2
    exit 1
  fi
  passed=$((passed + 1))
done
confined localhost/imagelane/ops:test topics --help >/dev/null
echo "$passed images built and started"
