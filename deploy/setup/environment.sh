#!/bin/sh
# Make .venv hold what pyproject.toml asks for, and nothing if it does already. Usage: environment.sh runtime|dev
#
# torch stands in the same command as everything else, at the exact version: asked for by itself or by a range, pip may
# replace it by a CUDA build of several gigabytes. Where the package index has only that build and the machine has no
# GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu adds the index that has the smaller one.
set -eu
cd "$(dirname "$0")/../.."
profile=$1
case "$profile" in
    runtime) target=. stamp=.venv/installed ;;
    dev) target='.[dev]' stamp=.venv/installed-dev ;;
    *) echo "usage: environment.sh runtime|dev" >&2; exit 2 ;;
esac
python=$(deploy/setup/find_python.sh)

# pyproject.toml also holds settings of tools: only a change of what is installed is worth a minute of pip.
wanted=$("$python" - "$profile" <<'PYTHON'
import hashlib, json, sys, tomllib
with open("pyproject.toml", "rb") as stream:
    project = tomllib.load(stream)["project"]
extra = project["optional-dependencies"]["dev"] if sys.argv[1] == "dev" else []
print(hashlib.sha256(json.dumps([project["version"], project["dependencies"], extra, sys.version]).encode()).hexdigest())
PYTHON
)
if [ -x .venv/bin/python ] && [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    touch "$stamp"
    exit 0
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
if [ -n "${TORCH_INDEX:-}" ]; then
    set -- --extra-index-url "$TORCH_INDEX"
else
    set --
    command -v nvidia-smi >/dev/null 2>&1 || \
        echo "(No GPU here. Should pip fetch gigabytes of CUDA, stop and set TORCH_INDEX=https://download.pytorch.org/whl/cpu)"
fi
echo "Installing into .venv (1 to 3 minutes, 2 GB) ..."
quiet=
[ -t 1 ] || quiet=--quiet
# shellcheck disable=SC2086  # an empty word must vanish
.venv/bin/python -m pip install $quiet --disable-pip-version-check "$@" "torch==2.13.0" --editable "$target" || {
    echo "Installing failed: the lines above say why. Remedy: check the network and the disk, then run the same command again." >&2
    exit 1
}
echo "$wanted" > "$stamp"
