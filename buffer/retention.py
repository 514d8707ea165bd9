"""What may leave the outbox, and when.

An entry may leave when every required upstream has settled it, nobody holds it in quarantine, and it is older than the
retention on the operating clock. Under pressure the age no longer counts; when the outbox is full an optional upstream
no longer counts either: what it had not yet seen is skipped, counted, audited, and announced to it (`Entry.gap_first`).
Without any upstream nothing leaves; with optional ones only, the slowest of them pins.

Rows leave in small chunks inside commits that happen anyway, and leave an anchor behind so that the chain verifies.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from buffer.row_check import position_rows, seal_cursor
from buffer.settlement import forget_settled

CHUNK_ROWS = 500
"""Rows removed at once: below the size at which a delete stalls a scan."""

MARK_EVERY_MS = 60_000
"""How finely the age of entries is known."""

_SEQS = """
SELECT seq FROM entry
WHERE seq <= ? AND NOT EXISTS (
    SELECT 1 FROM quarantine WHERE quarantine.seq = entry.seq AND quarantine.state IN ('open', 'retry'))
ORDER BY seq LIMIT ?
"""

_FORGET_DELIVERED = """
DELETE FROM quarantine
WHERE seq BETWEEN ? AND ? AND state = 'delivered'
  AND seq <= (SELECT cursor.seq FROM cursor WHERE cursor.upstream = quarantine.upstream)
"""

_SKIP = """
UPDATE cursor SET skipped = skipped
    + ?2 - max(seq, ?1 - 1)
    - (SELECT count(*) FROM quarantine
       WHERE quarantine.upstream = cursor.upstream AND quarantine.seq BETWEEN max(cursor.seq + 1, ?1) AND ?2)
WHERE seq < ?2
RETURNING upstream
"""


@dataclass(frozen=True, slots=True)
class Purge:
    """What one chunk removed."""

    rows: int
    skipped_by: frozenset[str]
    """Upstreams that had not seen all of it."""


def mark_age(connection: sqlite3.Connection, operating_ms: int, seq: int) -> None:
    """Note that every entry up to `seq` is at least as old as now."""
    connection.execute("INSERT OR REPLACE INTO age_mark VALUES (?, ?)", (operating_ms, seq))


def last_mark(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the newest mark as (operating clock in ms, seq)."""
    row = connection.execute("SELECT operating_ms, seq FROM age_mark ORDER BY operating_ms DESC LIMIT 1").fetchone()
    return (-MARK_EVERY_MS, 0) if row is None else row


def aged_through(connection: sqlite3.Connection, before_ms: int) -> int:
    """Return the last seq that was committed at or before `before_ms` on the operating clock; 0 when none was."""
    (seq,) = connection.execute("SELECT max(seq) FROM age_mark WHERE operating_ms <= ?", (before_ms,)).fetchone()
    return int(seq or 0)


def settled_through(connection: sqlite3.Connection, *, optional_too: bool) -> int:
    """Return the last seq that nobody who counts still needs; 0 when nothing may leave.

    Raises OutboxDamaged when a position cannot be believed: what it says is settled may not be.
    """
    rows = [(int(seq), required) for _, seq, required, *_ in position_rows(connection)]
    required = [seq for seq, is_required in rows if is_required]
    pinning = [seq for seq, _ in rows] if optional_too or not required else required
    return min(pinning, default=0)


def before_all(connection: sqlite3.Connection, *, required: bool) -> int:
    """Return the position from which an upstream of which nobody knows how far it was is sent all that it may lack.

    What left in order at the beginning every required upstream had; an optional one may have been skipped there.
    """
    row = connection.execute("SELECT last_seq FROM purged WHERE first_seq = 1").fetchone() if required else None
    return 0 if row is None else int(row[0])


def purge(connection: sqlite3.Connection, through: int, rows_max: int = CHUNK_ROWS) -> Purge:
    """Remove up to `rows_max` entries up to `through` that nobody holds, inside the caller's transaction."""
    seqs = [seq for (seq,) in connection.execute(_SEQS, (through, rows_max))]
    skipped: set[str] = set()
    for first, last in runs(seqs):
        skipped |= purge_run(connection, first, last)
    if seqs:
        connection.execute(
            "DELETE FROM age_mark WHERE seq < ? AND operating_ms < (SELECT max(operating_ms) FROM age_mark)", (seqs[0],)
        )
        forget_settled(connection)
        connection.execute("UPDATE ledger SET purged = purged + ?", (len(seqs),))
    return Purge(len(seqs), frozenset(skipped))


def runs(seqs: list[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers as (first, last)."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


def purge_run(connection: sqlite3.Connection, first: int, last: int) -> set[str]:
    """Remove one run, leave its anchor, and return the upstreams that had not seen all of it."""
    skipped = {upstream for (upstream,) in connection.execute(_SKIP, (first, last))}
    for upstream in skipped:
        seal_cursor(connection, upstream)
    connection.execute(_FORGET_DELIVERED, (first, last))
    (chain,) = connection.execute("SELECT chain FROM entry WHERE seq = ?", (last,)).fetchone()
    connection.execute("DELETE FROM entry WHERE seq BETWEEN ? AND ?", (first, last))
    # Runs that touch become one, so that in ordinary operation there is a single anchor.
    before = connection.execute("SELECT first_seq FROM purged WHERE last_seq = ?", (first - 1,)).fetchone()
    after = connection.execute("SELECT last_seq, last_chain FROM purged WHERE first_seq = ?", (last + 1,)).fetchone()
    if after is not None:
        connection.execute("DELETE FROM purged WHERE first_seq = ?", (last + 1,))
        last, chain = after
    if before is not None:
        (first,) = before
    connection.execute("INSERT OR REPLACE INTO purged VALUES (?, ?, ?)", (first, last, chain))
    return skipped
