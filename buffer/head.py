"""What is next for an upstream: entries in order, and a gap entry for whatever cannot be delivered as itself.

Every seq after the cursor is answered for: by its entry, by a gap entry (quarantined, discarded, damaged), or by the
gap entry of a run (skipped by retention, missing). A damaged row stops nobody: a flipped bit fails its digest, a broken
page makes the query fail and the rows around it are then read one by one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from buffer.connection import text_of
from buffer.digest import is_whole
from buffer.entry import Entry
from buffer.errors import OutboxDamaged
from buffer.quarantine import DAMAGED, told_as

SKIPPED = "skipped"
"""Gap reason of a run that was removed before this upstream had it."""
MISSING = "missing"
"""Gap reason of a run that nothing accounts for."""

UNREADABLE_MAX = 256
"""Unreadable rows in one answer after which the file, not the row, is taken to be broken."""

_ROWS = (
    "SELECT seq, id, type, station, device, captured_at, payload, digest, chain FROM entry"
    " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)
_ROW = "SELECT seq, id, type, station, device, captured_at, payload, digest, chain FROM entry WHERE seq = ?"
_HELD = "SELECT seq, state, reason FROM quarantine WHERE upstream = ? AND seq > ? AND state != 'delivered' ORDER BY seq"


_ANNOUNCED = """
SELECT quarantine.state, quarantine.reason,
       EXISTS (SELECT 1 FROM purged WHERE announcement.seq BETWEEN first_seq AND last_seq), announcement.seq,
       coalesce(id, ''), coalesce(type, ''), coalesce(station, ''), coalesce(device, ''), coalesce(captured_at, 0),
       coalesce(payload, x''), coalesce(digest, x''), coalesce(chain, x'')
FROM announcement JOIN cursor USING (upstream) LEFT JOIN quarantine USING (upstream, seq)
LEFT JOIN entry ON entry.seq = announcement.seq
WHERE announcement.upstream = ? AND announcement.seq <= cursor.seq AND quarantine.state IS NOT 'delivered'
ORDER BY announcement.seq LIMIT ?
"""
"""Of a discarded entry that retention has removed since, nothing is left but its number and what was decided; of one
that a salvage found gone, or that was rejected when there was no room for it any more, not even that it was held."""


@dataclass(frozen=True, slots=True)
class HeadRead:
    """The answer, and which of it nobody knew to be damaged."""

    entries: list[Entry]
    newly_damaged: list[int]


def read_head(connection: sqlite3.Connection, upstream: str, *, after: int, count_max: int, bytes_max: int) -> HeadRead:
    """Return entries with seq above `after`, in order, at most so many and so many bytes of payload (at least one).

    Raises OutboxDamaged when so much cannot be read that the file itself must be broken.
    """
    # Strict, unlike other queries: half a microsecond an entry cheaper, and a text that is not UTF-8 is damage here.
    connection.text_factory = str
    try:
        return _read_head(connection, upstream, after, count_max, bytes_max)
    finally:
        connection.text_factory = text_of


def _read_head(connection: sqlite3.Connection, upstream: str, after: int, count_max: int, bytes_max: int) -> HeadRead:
    (head,) = connection.execute("SELECT head_seq FROM ledger").fetchone()
    holds = connection.execute(_HELD, (upstream, after))  # read no further than the entries are
    held = next(holds, None)
    found: list[Entry] = []
    newly_damaged: list[int] = []
    at, size = after, 0
    for entry in _entries(connection, after, head, count_max):
        if not at < entry.seq <= head:
            continue  # a broken page can show a row under a number that is not its own
        if entry.seq > at + 1:
            found += gaps_between(connection, at + 1, entry.seq - 1)
        at = entry.seq
        while held is not None and held[0] < at:
            held = next(holds, None)  # of one that was discarded the entry may have left
        if held is not None and held[0] == at:
            entry = gap_entry(entry, told_as(*held[1:]))
        elif entry.gap_reason is not None or not is_whole(entry):
            entry = gap_entry(entry, DAMAGED)
            newly_damaged.append(at)
        size += len(entry.payload)
        if found and size > bytes_max:
            return HeadRead(found, [seq for seq in newly_damaged if seq != at])
        found.append(entry)
        if len(found) >= count_max:
            return HeadRead(found[:count_max], newly_damaged)
    if at < head and len(found) < count_max:
        found += gaps_between(connection, at + 1, head)
    return HeadRead(found[:count_max], newly_damaged)


def read_announcements(connection: sqlite3.Connection, upstream: str, count_max: int) -> list[Entry]:
    """Return the gap entries that an upstream has to be sent behind their place, in order; see `announcement`."""
    found: list[Entry] = []
    for state, reason, is_purged, *row in connection.execute(_ANNOUNCED, (upstream, count_max)):
        entry = Entry(*row)
        told = told_as(state, reason) if state is not None else SKIPPED if is_purged else MISSING
        found.append(gap_entry(entry, told if not entry.id or is_whole(entry) else DAMAGED))
    return found


def gap_entry(entry: Entry, reason: str) -> Entry:
    """Return the gap entry for a row; of a damaged one nothing but seq and digest is handed on."""
    if reason != DAMAGED:
        return entry._replace(gap_reason=reason)
    digest = entry.digest if isinstance(entry.digest, bytes) else b""
    return Entry(entry.seq, "", "", "", "", 0, b"", digest, b"", gap_reason=DAMAGED)


def gaps_between(connection: sqlite3.Connection, first: int, last: int) -> list[Entry]:
    """Return gap entries that account for every seq of a run without rows, each within one source.

    Of what every upstream had, and retention removed, the reason is "skipped" as well: there is one anchor for both.
    """
    gaps: list[Entry] = []
    begun = connection.execute("SELECT first_seq FROM epoch WHERE first_seq > ? AND first_seq <= ?", (first, last))
    for next_first in sorted({seq for (seq,) in begun}):
        gaps += _gaps_of_source(connection, first, next_first - 1)
        first = next_first
    return gaps + _gaps_of_source(connection, first, last)


def _gaps_of_source(connection: sqlite3.Connection, first: int, last: int) -> list[Entry]:
    gaps: list[Entry] = []
    anchors = connection.execute(
        "SELECT first_seq, last_seq, last_chain FROM purged WHERE last_seq >= ? AND first_seq <= ? ORDER BY first_seq",
        (first, last),
    )
    for anchor_first, anchor_last, chain in anchors:
        if anchor_first > first:
            gaps.append(_run(first, anchor_first - 1, MISSING))
        end = min(anchor_last, last)
        gaps.append(_run(max(anchor_first, first), end, SKIPPED, chain if end == anchor_last else b""))
        first = end + 1
    if first <= last:
        gaps.append(_run(first, last, MISSING))
    return gaps


def _run(first: int, last: int, reason: str, chain: bytes = b"") -> Entry:
    return Entry(last, "", "", "", "", 0, b"", b"", chain, gap_reason=reason, gap_first=first)


def _entries(connection: sqlite3.Connection, after: int, head: int, count_max: int) -> Iterator[Entry]:
    at = after
    try:
        for row in connection.execute(_ROWS, (after, head, count_max)):
            at = row[0]
            yield Entry(*row)
        return
    except sqlite3.Error as error:
        if not _is_about_rows(error):
            raise
    yield from _entries_one_by_one(connection, at, min(head, after + count_max))


def _entries_one_by_one(connection: sqlite3.Connection, after: int, through: int) -> Iterator[Entry]:
    unreadable = 0
    for seq in range(after + 1, through + 1):
        try:
            row = connection.execute(_ROW, (seq,)).fetchone()
        except sqlite3.Error as error:
            if not _is_about_rows(error):
                raise
            unreadable += 1
            if unreadable > UNREADABLE_MAX:
                raise OutboxDamaged(
                    f"{unreadable} entries from {after + 1} on cannot be read", hint="the disk or the file is broken"
                ) from error
            yield Entry(seq, "", "", "", "", 0, b"", b"", b"", gap_reason=DAMAGED)
            continue
        if row is not None:
            yield Entry(*row)


def _is_about_rows(error: sqlite3.Error) -> bool:
    """Whether an error is about a row or page rather than the disk: corruption, or text that is not UTF-8 any more."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF == sqlite3.SQLITE_CORRUPT
