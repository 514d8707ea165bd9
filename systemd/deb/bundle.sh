#!/bin/sh
# Pack PACKAGE and everything of Debian's that it needs beyond a minimal system into one archive, for computers without
# internet. Which Debian packages those are, and their versions, is what this computer's apt knows now.
set -eu
export LC_ALL=C

[ $# -eq 1 ] || { echo "usage: bundle.sh PACKAGE" >&2; exit 64; }
PACKAGE=$(realpath "$1")
HERE=$(cd "$(dirname "$0")" && pwd)
NAME=$(basename "$PACKAGE" .deb)-offline
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK/$NAME/debs"
chmod 755 "$WORK"

# The closure of what the package depends on, less what every Debian has.
apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    python3 | grep '^[a-z0-9]' | cut -d : -f 1 | sort -u >"$WORK/names"
while read -r name; do
    priority=$(apt-cache show --no-all-versions "$name" 2>/dev/null | sed -n 's/^Priority: //p' | head -n 1)
    case $priority in
    '' | required) ;;
    *) echo "$name" ;;
    esac
done <"$WORK/names" | grep -v -e '^libc6$' -e '^debconf-2.0$' -e '^cdebconf' >"$WORK/wanted"
(cd "$WORK/$NAME/debs" && xargs apt-get download -qq -o APT::Sandbox::User=root <"$WORK/wanted")

cp "$PACKAGE" "$WORK/$NAME/"
install -m 755 "$HERE/install-offline.sh" "$WORK/$NAME/install.sh"
(cd "$WORK/$NAME" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs -d '\n' sha256sum >SHA256SUMS)
ARCHIVE=$(dirname "$PACKAGE")/$NAME.tar
tar --create --file "$ARCHIVE" --directory "$WORK" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime "@$(stat -c %Y "$PACKAGE")" "$NAME"
echo "$ARCHIVE"
