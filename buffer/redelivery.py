"""The answers numbered messages were given: looked up for every message, forgotten after a window.

Lookups are batched: one statement for up to 256 keys. Forgetting needs no index on time: a hand goes round the table in
the order of its key, a few rows a commit, like the hand of a clock; the lookup itself does not see what is past the
window, so the hand may lag without an effect that anybody notices.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from buffer.bulk import BulkInsert
from buffer.entry import Redelivery
from buffer.row_check import redelivery_crc

LOOKUP_SIZES = (1, 8, 64, 256)
"""Statements are prepared for these numbers of keys; the last key is repeated to fill up."""

SWEEP_ROWS_MIN = 64
"""Rows the hand looks at in one step, at least: a step costs two statements, too much for every lone scan."""

# CROSS JOIN fixes the order: `WHERE (device, message_id) IN (VALUES ...)` reads the same but scans the whole table.
_LOOKUP = """
WITH wanted (d, m) AS (VALUES {keys})
SELECT device, message_id, fingerprint, verdict, committed_ms, crc
FROM wanted CROSS JOIN redelivery ON device = d AND message_id = m
"""
_LOOKUPS = {size: _LOOKUP.format(keys=",".join(["(?,?)"] * size)) for size in LOOKUP_SIZES}

_REMEMBER = BulkInsert(
    "INSERT OR REPLACE INTO redelivery (device, message_id, fingerprint, verdict, committed_ms, crc)", 6
)

_HAND = """
SELECT device, message_id FROM redelivery
WHERE (device, message_id) > (?, ?) ORDER BY device, message_id LIMIT 1 OFFSET ?
"""
_SWEEP = """
DELETE FROM redelivery
WHERE (device, message_id) > (?, ?) AND (device, message_id) <= (?, ?) AND committed_ms <= ?
"""
_SWEEP_REST = "DELETE FROM redelivery WHERE (device, message_id) > (?, ?) AND committed_ms <= ?"


def remember(connection: sqlite3.Connection, redeliveries: Sequence[Redelivery], now_ms: int) -> None:
    """Store the answers; a number that was used again gets the newest."""
    rows = [
        (*one, now_ms, redelivery_crc(one.device, one.message_id, one.fingerprint, one.verdict, now_ms))
        for one in redeliveries
    ]
    _REMEMBER.run(connection, rows)


def recall(
    connection: sqlite3.Connection, keys: Sequence[tuple[str, str]], committed_after_ms: int
) -> dict[tuple[str, str], Redelivery]:
    """Return the answers to those (device, message_id) keys that were committed within the window.

    Of one whose row was damaged only the number is known: it comes as `Redelivery.is_damaged`.
    """
    found: dict[tuple[str, str], Redelivery] = {}
    size_max = LOOKUP_SIZES[-1]
    for start in range(0, len(keys), size_max):
        part = keys[start : start + size_max]
        size = next(size for size in LOOKUP_SIZES if size >= len(part))
        flat = [text for key in part for text in key]
        if size > len(part):
            flat += [*part[-1]] * (size - len(part))
        for device, message_id, fingerprint, verdict, committed_ms, crc in connection.execute(_LOOKUPS[size], flat):
            if redelivery_crc(device, message_id, fingerprint, verdict, committed_ms) != crc:
                found[device, message_id] = Redelivery(device, message_id, b"", b"")
            elif committed_ms > committed_after_ms:
                found[device, message_id] = Redelivery(device, message_id, fingerprint, verdict)
    return found


class Sweep:
    """The hand that goes round the table and removes what is past the window."""

    def __init__(self) -> None:
        self._at = ("", "")

    def advance(self, connection: sqlite3.Connection, rows_max: int, committed_through_ms: int) -> int:
        """Look at the next rows inside the caller's transaction; returns how many were removed."""
        if committed_through_ms < 0:
            return 0  # the gateway has not run for a whole window yet
        end = connection.execute(_HAND, (*self._at, rows_max - 1)).fetchone()
        if end is None:
            removed = connection.execute(_SWEEP_REST, (*self._at, committed_through_ms)).rowcount
            self._at = ("", "")
        else:
            removed = connection.execute(_SWEEP, (*self._at, *end, committed_through_ms)).rowcount
            self._at = end
        return removed
