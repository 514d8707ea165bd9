"""Gap records that come behind their place: what an upstream rejected, told to whoever reads behind it.

Theory of operation. When an upstream rejects an entry, its position goes on over it: what was sent with it is taken and
is not sent twice. Whoever rejected it knows of the hole. A broker behind it does not, nor do its own readers, nor a
repository that was never asked because the event has no form there. So the commit that puts an entry in quarantine also
notes that its gap record is due, and the row stays until the upstream has answered for that record. A kill at any
moment leaves the row or finds it gone, and a record that goes out twice is the same to the byte. The row holds no text:
what there is to tell is what the quarantine says at the moment of sending. A decision to discard is told once more,
because only then is it certain that the entry never comes.

What is in quarantine ahead of the position needs no row: `head.read_head` puts its record in its place.
"""

from __future__ import annotations

import sqlite3

_ANNOUNCE = """
INSERT OR IGNORE INTO announcement (upstream, seq)
SELECT upstream, ?2 FROM cursor WHERE upstream = ?1 AND ?2 <= cursor.seq
"""


def announce(connection: sqlite3.Connection, upstream: str, seq: int) -> None:
    """Note that an upstream has to be told of an entry, unless that is ahead of its position."""
    connection.execute(_ANNOUNCE, (upstream, seq))


def withdraw(connection: sqlite3.Connection, upstream: str, first: int, last: int) -> None:
    """Note that there is nothing to be told of these entries any more."""
    connection.execute("DELETE FROM announcement WHERE upstream = ? AND seq BETWEEN ? AND ?", (upstream, first, last))


def forget_announcements(connection: sqlite3.Connection, upstream: str) -> None:
    """Forget everything that an upstream was to be told."""
    connection.execute("DELETE FROM announcement WHERE upstream = ?", (upstream,))
