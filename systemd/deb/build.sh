#!/bin/sh
# Build the Debian package, and with "bundle" the archive for computers without internet.
#
#    build.sh VENV OUTPUT [bundle]
#
# VENV is the development environment (pip, hatchling). Needed beyond it: dpkg-deb, and Debian's own Python 3.11, since
# the package carries compiled parts for it. Nothing is compiled here: every dependency comes as a wheel whose hash
# stands in requirements.lock. Two builds of one commit are the same to the byte (times from the commit, sorted names,
# hashes instead of times in the byte code).
#
# DOCKLINE_SOURCE   another copy of the sources            (the folder this file lies in)
# DOCKLINE_VERSION  another version                        (the one in pyproject.toml)
# DOCKLINE_WHEELS   where downloaded wheels are kept       (OUTPUT/wheels)
# SOURCE_DATE_EPOCH the time that every file in it bears (the one of the newest commit)
# DOCKLINE_XZ       compression as dpkg-deb knows it       (xz)
set -eu
umask 022
export LC_ALL=C TZ=UTC PYTHONHASHSEED=0

[ $# -ge 2 ] || { echo "usage: build.sh VENV OUTPUT [bundle]" >&2; exit 64; }
VENV=$(cd "$1" && pwd)
mkdir -p "$2"
OUTPUT=$(cd "$2" && pwd)
SOURCE=$(cd "${DOCKLINE_SOURCE:-$(dirname "$0")/../..}" && pwd)
WHEELS=${DOCKLINE_WHEELS:-$OUTPUT/wheels}
PYTHON=/usr/bin/python3
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

fail() { echo "make deb: $*" >&2; exit 1; }

command -v dpkg-deb >/dev/null || fail "dpkg-deb is missing: packages are built on Debian"
"$PYTHON" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 11))' 2>/dev/null ||
    fail "$PYTHON is not Debian's Python 3.11, which the package is for: build on Debian 12 (apt install python3)"

ARCH=$(dpkg --print-architecture)
VERSION=${DOCKLINE_VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$SOURCE/pyproject.toml" | head -n 1)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$SOURCE" log -1 --format=%ct 2>/dev/null || stat -c %Y "$SOURCE/pyproject.toml")}
export SOURCE_DATE_EPOCH
SCHEMA=$(find "$SOURCE/buffer/sql" -name '*.sql' | wc -l)

# -- our own wheel, from a copy: the version may be another one, and nothing else in the folder gets in
COPY=$WORK/source
mkdir "$COPY"
(cd "$SOURCE" && tar -c --exclude='__pycache__' gateway drivers buffer sync simulators config systemd docs pyproject.toml README.md LICENSE CHANGELOG.md SECURITY.md) | tar -x -C "$COPY"
sed -i "0,/^version = /s/^version = .*/version = \"$VERSION\"/" "$COPY/pyproject.toml"
"$VENV/bin/python" -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$WORK/own" "$COPY"

# -- the release: a virtual environment on Debian's Python, made by hand so that no path of this computer gets in
ROOT=$WORK/root
RELEASE=$ROOT/opt/dockline/releases/$VERSION
mkdir -p "$RELEASE/bin"
ln -s "$PYTHON" "$RELEASE/bin/python3"
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >"$RELEASE/pyvenv.cfg"
pip() { "$VENV/bin/python" -m pip --python "$RELEASE/bin/python3" "$@"; }
mkdir -p "$WHEELS"
LOCKED=$WHEELS/.$(sha256sum "$SOURCE/requirements.lock" | cut -c 1-16)
if [ ! -e "$LOCKED" ]; then
    pip download -qq --disable-pip-version-check --only-binary :all: --require-hashes --dest "$WHEELS" -r "$SOURCE/requirements.lock"
    touch "$LOCKED"
fi
pip install -qq --disable-pip-version-check --no-index --find-links "$WHEELS" --only-binary :all: --require-hashes --no-compile --no-deps -r "$SOURCE/requirements.lock"
pip install -qq --disable-pip-version-check --no-index --no-deps --no-compile "$WORK"/own/dockline-*.whl
find "$RELEASE/bin" ! -name python3 ! -type d -delete
find "$RELEASE" -name direct_url.json -delete
# The lists of files name the commands that were taken out, and would differ by the path of the wheel.
find "$RELEASE" -path '*.dist-info/RECORD' -exec sed -i -e '/^\.\.\/\.\.\/\.\.\/bin\//d' -e '/direct_url\.json/d' {} +
"$RELEASE/bin/python3" -I -m compileall -q -s "$ROOT" --invalidation-mode unchecked-hash "$RELEASE/lib"

# -- what lies around it
put() { install -D -m "$1" "$2" "$ROOT/$3"; }
DEB=$COPY/systemd/deb
put 755 "$DEB/dockline.sh" opt/dockline/bin/dockline
ln -s current/share "$ROOT/opt/dockline/share"
mkdir -p "$ROOT/usr/bin"
ln -s /opt/dockline/bin/dockline "$ROOT/usr/bin/dockline"
put 644 "$COPY/systemd/dockline.service" usr/lib/systemd/system/dockline.service
put 644 "$COPY/systemd/dockline.sysusers.conf" usr/lib/sysusers.d/dockline.conf
put 644 "$COPY/systemd/dockline.tmpfiles.conf" usr/lib/tmpfiles.d/dockline.conf
put 644 "$COPY/systemd/60-dockline.rules" usr/lib/udev/rules.d/60-dockline.rules
put 640 "$COPY/config/first-start.toml" etc/dockline/gateway.toml
"$RELEASE/bin/python3" -sPB -m gateway.cli.manual --date "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d)" "$WORK/manual"
for page in "$WORK"/manual/man1/*.1; do
    gzip -9n "$page"
    put 644 "$page.gz" "usr/share/man/man1/$(basename "$page").gz"
done
put 644 "$WORK/manual/dockline.bash" usr/share/bash-completion/completions/dockline
put 644 "$WORK/manual/dockline.zsh" usr/share/zsh/vendor-completions/_dockline
put 644 "$WORK/manual/dockline.fish" usr/share/fish/vendor_completions.d/dockline.fish
put 644 "$COPY/README.md" usr/share/doc/dockline/README.md
put 644 "$COPY/SECURITY.md" usr/share/doc/dockline/SECURITY.md
# The pages too: a site PC may have no way to anywhere else when somebody has to read them.
(cd "$COPY" && find docs -type f) | while read -r page; do put 644 "$COPY/$page" "usr/share/doc/dockline/$page"; done
put 644 "$DEB/copyright" usr/share/doc/dockline/copyright
put 644 "$DEB/lintian-overrides" usr/share/lintian/overrides/dockline
put 644 "$COPY/CHANGELOG.md" usr/share/doc/dockline/CHANGELOG.md
{
    printf 'dockline (%s) stable; urgency=medium\n\n  * See CHANGELOG.md in this folder.\n\n' "$VERSION"
    printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' "$DEB/control.in")" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$WORK/changelog.gz"
put 644 "$WORK/changelog.gz" usr/share/doc/dockline/changelog.gz

# -- the control part
CONTROL=$ROOT/DEBIAN
mkdir "$CONTROL"
# Counted from the files: what a folder takes differs from disk to disk.
SIZE=$(find "$ROOT" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
fill() { sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCH@/$ARCH/" -e "s/@SIZE@/$SIZE/" -e "s/@SCHEMA@/$SCHEMA/" "$1"; }
fill "$DEB/control.in" >"$CONTROL/control"
for script in preinst postinst; do fill "$DEB/$script.in" >"$CONTROL/$script"; done
cp "$DEB/prerm" "$DEB/postrm" "$DEB/templates" "$DEB/conffiles" "$CONTROL/"
chmod 755 "$CONTROL/preinst" "$CONTROL/postinst" "$CONTROL/prerm" "$CONTROL/postrm"
(cd "$ROOT" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\n' | sort | xargs -d '\n' md5sum) >"$CONTROL/md5sums"
chmod 644 "$CONTROL/control" "$CONTROL/templates" "$CONTROL/conffiles" "$CONTROL/md5sums"

! grep -rlF -e "$WORK" -e "$SOURCE/" "$ROOT" || fail "the files above name a folder of this computer"
find "$ROOT" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
PACKAGE=$OUTPUT/dockline_${VERSION}_$ARCH.deb
dpkg-deb --root-owner-group -Z"${DOCKLINE_XZ:-xz}" --build "$ROOT" "$PACKAGE" >/dev/null
echo "$PACKAGE"
[ "${3:-}" = bundle ] || exit 0
exec sh "$SOURCE/systemd/deb/bundle.sh" "$PACKAGE"
