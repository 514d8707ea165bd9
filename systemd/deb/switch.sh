# shellcheck shell=sh
# From the release that runs to the one that was unpacked, or back. Sourced by postinst.
#
#    1  the new release reads the configuration                     else: refused, the old one goes on, untouched
#    2  it opens a copy of the outbox, migrates it, proves it        else: the same
#    3  the old one stops; a copy of the outbox is kept when the schema changes
#    4  "current" names the new release (one rename)
#    5  it starts, says it is ready, and stays up for HEALTH_S       else: back to the old one, and to that copy
#
# A kill between any two steps leaves "current" on a whole release, and `dpkg --configure dockline` goes on from there.

BASE=/opt/dockline
CONFIG=/etc/dockline/gateway.toml
UNIT=dockline.service
HEALTH_S=${DOCKLINE_HEALTH_S:-10}

say() { echo "dockline: $*" >&2; }

run_release() { # run_release RELEASE WORDS...
    release=$1
    shift
    "$BASE/$release/bin/python3" -sP -m gateway "$@"
}

# In the folder of the outbox root does nothing by itself: whoever took over the service could have put links there.
as_dockline() { # as_dockline PROGRAM WORDS...
    (cd / && TERM=dumb setpriv --reuid dockline --regid dockline --init-groups "$@")
}

as_service() { # as_service RELEASE WORDS...
    release=$1
    shift
    as_dockline "$BASE/$release/bin/python3" -sP -m gateway "$@"
}

point_to() {
    ln -sfn "$1" "$BASE/current.new"
    mv -T "$BASE/current.new" "$BASE/current"
}

is_up() { systemctl --quiet is-active "$UNIT"; }

# The running service is of this version, ready, and the same process for HEALTH_S seconds.
is_healthy() { # is_healthy VERSION
    wanted=$1
    seen=
    count=0
    while [ "$count" -lt "$HEALTH_S" ]; do
        is_up || return 1
        pid=$(systemctl show --property MainPID --value "$UNIT")
        [ -z "$seen" ] || [ "$pid" = "$seen" ] || return 1
        seen=$pid
        count=$((count + 1))
        sleep 1
    done
    answer=$(dockline status --json 2>/dev/null || true)
    case $answer in *'"ready": true'*) ;; *) return 1 ;; esac
    case $answer in *"\"version\": \"$wanted\""*) return 0 ;; *) return 1 ;; esac
}

storage_folder() {
    sed -n '/^\[storage\]/,/^\[/s/^[[:space:]]*path[[:space:]]*=[[:space:]]*"\([^"]*\)".*/\1/p' "$CONFIG" | head -n 1
}

outbox_marks() { # outbox_marks FILE: "SCHEMA HEAD", empty when there is none
    [ -s "$1" ] || return 0
    as_dockline "$BASE/current/bin/python3" -I - "$1" <<'PYTHON'
import sqlite3, sys
file = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(*file.execute("PRAGMA user_version").fetchone(), *file.execute("SELECT head_seq FROM ledger").fetchone())
PYTHON
}

# Events that came in after the copy, but for those the gateway makes about its own links; they are counted, and when
# there is none but those the copy is told to begin a new epoch: their numbers may have been delivered.
events_since() { # events_since COPY OUTBOX
    as_dockline "$BASE/current/bin/python3" -I - "$1" "$2" <<'PYTHON'
import sqlite3, sys
copy = sqlite3.connect(sys.argv[1], isolation_level=None)
file = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
(head,) = copy.execute("SELECT head_seq FROM ledger").fetchone()
((last,),) = file.execute("SELECT head_seq FROM ledger").fetchall()
(count,) = file.execute(
    "SELECT count(*) FROM entry WHERE seq > ? AND type <> 'dockline.device.v1'", (head,)
).fetchone()
if last > head and not count:
    copy.execute("UPDATE ledger SET epoch_wanted = coalesce(epoch_wanted, 'an upgrade was rolled back')")
print(count)
PYTHON
}

newest_schema() { # newest_schema RELEASE
    find "$BASE/$1"/lib/python3*/site-packages/buffer/sql -name '*.sql' | wc -l
}

refuse() { # refuse VERSION WHY
    say "version $1 was NOT switched to: $2"
    say "The gateway goes on with the version before. When mended: dpkg --configure dockline"
    exit 1
}

# Steps 1 and 2: nothing is changed, the old release runs on.
rehearse() { # rehearse VERSION OLD
    if run_release "$2" check --config "$CONFIG" >/dev/null 2>&1; then
        run_release "releases/$1" check --config "$CONFIG" >/dev/null || refuse "$1" "it does not accept $CONFIG"
    fi
    as_service "releases/$1" rehearse --config "$CONFIG" >&2 || refuse "$1" "it cannot take the outbox over"
}

go_back() { # go_back VERSION OLD
    say "version $1 does not run well; going back. Its last words:"
    journalctl --no-pager --quiet --lines 15 --unit "$UNIT" >&2 || true
    deb-systemd-invoke stop "$UNIT" || true
    if [ -e "$SAVED" ]; then
        since=$(events_since "$SAVED" "$FOLDER/outbox.db" || echo unknown)
        if [ "$since" != 0 ]; then
            say "It has taken events since ($since), which the version before could not read: version $1 STAYS."
            say "Nothing is lost. journalctl -u dockline says what is wrong; the copy from before is $SAVED"
            deb-systemd-invoke start "$UNIT" || true
            exit 1
        fi
        as_dockline rm -f "$FOLDER/outbox.db-wal" "$FOLDER/outbox.db-shm"
        as_dockline mv -T "$SAVED" "$FOLDER/outbox.db"
    fi
    point_to "$2"
    if deb-systemd-invoke start "$UNIT" && is_up; then
        refuse "$1" "it did not become healthy"
    fi
    say "The version before does not start either: systemctl status dockline"
    exit 1
}

# What an upgrade comes from: the kept release, also when an upgrade that was killed is gone on with.
kept_release() {
    found=$(find "$BASE/kept" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1)
    if [ -n "$found" ]; then
        echo "kept/${found##*/}"
    else
        readlink "$BASE/current" || true
    fi
}

switch_to() { # switch_to VERSION
    target=releases/$1
    old=$(kept_release)
    if [ -z "$old" ] || [ ! -d "$BASE/$old" ]; then
        point_to "$target"
        first_start
        return
    fi
    if [ ! -d /run/systemd/system ]; then
        point_to "$target"
        rm -rf "$BASE/kept"
        return
    fi
    rehearse "$1" "$old"
    state=$(systemctl is-active "$UNIT" || true)
    FOLDER=$(storage_folder)
    SAVED=$FOLDER/outbox.before-$1
    if [ "$state" = active ] || [ "$state" = activating ]; then
        deb-systemd-invoke stop "$UNIT"
    fi
    marks=$(outbox_marks "$FOLDER/outbox.db")
    if [ -n "$marks" ] && [ "${marks% *}" != "$(newest_schema "$target")" ]; then
        as_dockline rm -f "$SAVED"
        as_service "$target" backup --config "$CONFIG" "$SAVED" >/dev/null || {
            [ "$state" != active ] || deb-systemd-invoke start "$UNIT"
            refuse "$1" "the outbox could not be copied before its schema changes"
        }
    fi
    point_to "$target"
    case $state in
    active | activating)
        if ! deb-systemd-invoke start "$UNIT" || ! is_healthy "$1"; then
            go_back "$1" "$old"
        fi
        ;;
    failed) deb-systemd-invoke start "$UNIT" || say "it was not running before and does not start: dockline check" ;;
    *) say "the service was stopped and stays so: systemctl start dockline" ;;
    esac
    rm -rf "$BASE/kept"
    # What an unpacking that was killed left of other versions.
    find "$BASE/releases" -mindepth 1 -maxdepth 1 ! -name "$1" -exec rm -rf {} +
    as_dockline rm -f "$SAVED"
    say "version $1 is installed"
}

first_start() {
    [ -d /run/systemd/system ] || return 0
    if deb-systemd-invoke start "$UNIT" && is_up; then
        say "the service runs. Next: dockline init (or edit $CONFIG and ask dockline check)"
    else
        say "the service does not start: dockline check; systemctl status dockline"
    fi
}
