#!/bin/sh
# Install Dockline from this folder, without a network: what is missing of Debian's own first, then the package.
set -eu
cd "$(dirname "$0")"

fail() { echo "install.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "must be run as root: sudo sh install.sh"
sha256sum --check --quiet SHA256SUMS || fail "this folder is not as it was packed: copy the archive again"
python=$(dpkg-query --show --showformat '${Version}' python3 2>/dev/null || true)
case $python in
'' | 3.11.*) ;;
*) fail "this is made for Debian 12 with Python 3.11; here is Python $python" ;;
esac

set --
for file in debs/*.deb; do
    name=$(dpkg-deb --field "$file" Package)
    state=$(dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null || true)
    [ "$state" = installed ] || set -- "$@" "./$file"
done
exec apt-get install --yes --no-download --no-install-recommends "$@" ./dockline_*.deb
