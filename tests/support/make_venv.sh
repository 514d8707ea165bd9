#!/bin/sh
# Make a virtual environment with pip in it, or say what is missing.
# Debian splits ensurepip from Python: without python3-venv a venv cannot get its pip.
set -eu
python=$1
venv=$2
if [ -z "$python" ]; then
    echo "dockline: no Python found. Install Python 3.11 (Debian: apt install python3 python3-venv) and try again." >&2
    exit 1
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "dockline: $python is $("$python" -V 2>&1); 3.11 or newer is needed. Try: make PYTHON=/path/to/python3.11" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "dockline: installing python$version-venv (Debian keeps ensurepip there)"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
    else
        echo "dockline: $python has no ensurepip. On Debian: sudo apt install python$version-venv" >&2
        exit 1
    fi
fi
# Half an environment would be taken for a whole one by the next make.
trap 'rm -rf "$venv"' EXIT
trap 'exit 130' INT TERM HUP
"$python" -m venv "$venv"
trap - EXIT
