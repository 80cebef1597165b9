# What the checks of this folder need besides Python: read by them, not run. Pinned, and kept in the folder `cache`.

missing() {
  echo "$(basename "$0"): $1 is missing; $2" >&2
  exit 2
}

need_go() {
  command -v go >/dev/null || missing go "install Go 1.24 or newer: it builds $1"
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
