#!/bin/sh
# Print the Python to build the virtual environment with: the first that is 3.11 or newer and can make one, else the
# first there is, for make_venv.sh to say what is missing.
set -u
first=
for name in /usr/bin/python3.11 python3.11 /usr/bin/python3 python3; do
    path=$(command -v "$name") || continue
    first=${first:-$path}
    if "$path" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "$path"
        exit 0
    fi
done
echo "$first"
