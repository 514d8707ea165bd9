#!/bin/sh
# The tests drive real parts. Install those that are missing when we may, else say exactly what to install.
set -eu
missing=""
need() { # need COMMAND PACKAGE
    if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; then missing="$missing $2"; fi
}
need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need systemd-analyze systemd
need openssl openssl
need curl curl
need shellcheck shellcheck
if [ "${1:-}" = install ]; then
    need debootstrap debootstrap
    need lintian lintian
    need systemd-nspawn systemd-container
fi
if [ "${1:-}" = long ]; then
    need zsh zsh
    need fish fish
fi
need strace strace
need faketime faketime
need sqlite3 sqlite3
need mkfs.ext4 e2fsprogs
need mount mount
need chromium chromium
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "dockline: installing for the tests:$missing"
    apt-get update -qq
    # The packaged broker must not start by itself: the tests start their own on a free port.
    # shellcheck disable=SC2086
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "dockline: the tests need these Debian packages:$missing" >&2
    echo "dockline: sudo apt install$missing" >&2
    exit 1
fi
