#!/bin/sh
# The command `dockline`: the release that "current" names, on Debian's own Python. Not through the release's own path:
# what runs keeps finding its modules while another release is unpacked beside it.
exec /opt/dockline/current/bin/python3 -sP -m gateway "$@"
