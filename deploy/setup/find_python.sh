#!/bin/sh
# Print a Python that can make the environment (3.11 or newer, with venv), or say in one line what to install.
set -u
for name in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
    command -v "$name" >/dev/null 2>&1 || continue
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    found=$name
    "$name" -c 'import ensurepip, venv' 2>/dev/null || continue
    command -v "$name"
    exit 0
done
if [ -n "${found:-}" ]; then
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "Missing: the venv module of $found. Remedy: apt-get install python$version-venv (or your system's equivalent)." >&2
else
    echo "Missing: Python 3.11 or newer. Remedy: apt-get install python3 python3-venv, or set PYTHON=<path of one>." >&2
fi
exit 1
