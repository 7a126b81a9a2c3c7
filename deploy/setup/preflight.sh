#!/bin/sh
# Look before leaping: name everything that is missing, each in one line with its remedy, before anything is installed.
# Usage: preflight.sh [python] [node] [disk] [port] [inputs]
set -u
cd "$(dirname "$0")/../.." || exit 1
missing=0

complain() {
    echo "$1" >&2
    missing=1
}

check_node() {
    if ! command -v node >/dev/null 2>&1; then
        complain "Missing: Node 20 or newer. Remedy: apt-get install nodejs npm (Debian's 18 is too old: see https://nodejs.org/en/download)."
        return
    fi
    major=$(node --version | sed -E 's/^v([0-9]+).*/\1/')
    if [ "$major" -lt 20 ]; then
        complain "Missing: Node 20 or newer (found $(node --version)). Remedy: https://nodejs.org/en/download."
    elif ! command -v npm >/dev/null 2>&1; then
        complain "Missing: npm, which this system packages apart from Node. Remedy: apt-get install npm, or install Node from https://nodejs.org/en/download."
    fi
}

check_disk() {
    # The environment takes 2 GB and its downloads another while they are unpacked.
    if [ -e .venv/installed ] || [ -e .venv/installed-dev ]; then need=1; else need=4; fi
    free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
    if [ "$free" -lt "$need" ]; then
        complain "Missing: disk space, $need GB are needed and $free GB are free on $(df -P . | awk 'NR == 2 { print $6 }'). Remedy: free some, or clone to another disk."
    fi
}

check_port() {
    [ "${SERVE:-1}" = 0 ] && return
    python=$(deploy/setup/find_python.sh 2>/dev/null) || return
    case "${PORT:-8000}" in
        '' | *[!0-9]*) complain "PORT=$PORT is not a number. Remedy: make demo PORT=8001."; return ;;
    esac
    "$python" - "${PORT:-8000}" <<'PYTHON' || complain "Port ${PORT:-8000} is in use. Remedy: make demo PORT=$((${PORT:-8000} + 1)), or stop what listens there."
import socket, sys
with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(sys.argv[1])))
    except (OSError, OverflowError):
        sys.exit(1)
PYTHON
}

check_inputs() {
    if [ -n "${STUDIES:-}" ] && [ ! -r "$STUDIES" ]; then
        complain "STUDIES=$STUDIES cannot be read. Remedy: give a folder or a zip of DICOM files."
    fi
    if [ -n "${ANNOTATIONS:-}" ] && [ ! -r "$ANNOTATIONS" ]; then
        complain "ANNOTATIONS=$ANNOTATIONS cannot be read. Remedy: give a file or a folder."
    fi
    if [ -n "${ANNOTATIONS:-}" ] && [ -z "${STUDIES:-}" ]; then
        complain "ANNOTATIONS needs STUDIES. Remedy: make demo STUDIES=<folder or zip of DICOM> ANNOTATIONS=$ANNOTATIONS."
    fi
}

for what in "$@"; do
    case "$what" in
        python) deploy/setup/find_python.sh >/dev/null || missing=1 ;;
        node) check_node ;;
        disk) check_disk ;;
        port) check_port ;;
        inputs) check_inputs ;;
        *) complain "preflight.sh does not know $what" ;;
    esac
done
exit $missing
