# What the checks of this folder need besides Python: read by them, not run. Pinned, and kept in the folder `cache`.

missing() {
  echo "$(basename "$0"): $1 is missing; $2" >&2
  exit 2
}

# need_go VERSION WHAT: Go is there, and new enough to build it.
need_go() {
  command -v go >/dev/null || missing go "install Go $1 or newer: it builds $2"
  printf '%s\n' "go$1" "$(go env GOVERSION)" | sort --version-sort --check=silent \
    || missing "Go $1" "this is $(go env GOVERSION), too old for $2"
}

# go_tool NAME MODULE@VERSION: builds the command once, and puts it on the path.
go_tool() {
  local folder="$cache/go/$1-${2##*@}"
  if [ ! -x "$folder/$1" ]; then
    echo "building $1 ${2##*@} …" >&2
    GOBIN="$folder" go install "$2"
  fi
  PATH="$folder:$PATH"
}

# go_module NAME TAGS LDFLAGS PACKAGE[=PROGRAM]…: builds programs as NAME/go.mod pins them, once for every state of that
# folder, and puts them on the path.
go_module() {
  local source="$root/tests/deployment/$1" tags="$2" flags="-s -w $3" folder
  folder="$cache/go/$1-$(cat "$source"/* | sha256sum | cut -c1-12)"
  if [ ! -d "$folder" ]; then
    rm -rf "$folder.new"
    for package in "${@:4}"; do
      local program=${package##*=}
      echo "building ${program##*/} (minutes, once) …" >&2
      CGO_ENABLED=0 go build -C "$source" -trimpath -tags "$tags" -ldflags "$flags" -o "$folder.new/${program##*/}" "${package%=*}"
    done
    mv "$folder.new" "$folder"
  fi
  PATH="$folder:$PATH"
}

# python_tools NAME: what NAME.lock says, in a virtual environment of its own, so that it changes nothing of ours.
python_tools() {
  local lock="$root/tests/deployment/$1.lock" folder="$cache/$1"
  if ! cmp --silent "$lock" "$folder/installed.lock"; then
    echo "installing what $1.lock says …" >&2
    "$root/.venv/bin/python" -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
    cp "$lock" "$folder/installed.lock"
  fi
}

# compose_reader: the path of our reader of Compose files, built once.
compose_reader() {
  local folder="$root/tests/deployment/composefile"
  local reader
  reader="$cache/go/composefile-$(cat "$folder"/* | sha256sum | cut -c1-12)"
  [ -x "$reader" ] || go build -C "$folder" -o "$reader" . >&2
  echo "$reader"
}

# tools_only: the end of a script that was called by `make tools`, which builds ahead of time.
tools_only() {
  [ -z "${TOOLS_ONLY:-}" ] || exit 0
}
