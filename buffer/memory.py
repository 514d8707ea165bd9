"""What the gateway remembers between scans, read back: state rows and answers, each believed only when its check fits.

A damaged row stops nobody. It counts as not there, is removed, and an incident tells a person what was forgotten: a
session begins anew, a counter takes a new baseline, a numbered message that comes again is stored and flagged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from buffer.entry import StateRow
from buffer.incident import MEMORY_DAMAGED, Told, record_incident
from buffer.row_check import redelivery_crc, state_crc
from buffer.writer import Writer

NAMED_MAX = 20
"""Rows that an incident names; more are counted."""

_STATES = "SELECT key, value, crc FROM state WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_ALL = -1
"""SQLite: no limit."""
_ANSWER = (
    "SELECT device, message_id, fingerprint, verdict, committed_ms, crc FROM redelivery"
    " WHERE device = ? AND message_id = ?"
)


def read_states(
    connection: sqlite3.Connection, first: str, before: str, count_max: int | None = None
) -> tuple[list[StateRow], list[str]]:
    """Return the rows from key `first` up to, not including, `before`, and the keys of those that are damaged; at most
    `count_max` of both together."""
    rows: list[StateRow] = []
    damaged: list[str] = []
    for key, value, crc in connection.execute(_STATES, (first, before, _ALL if count_max is None else count_max)):
        if state_crc(key, value) == crc:
            rows.append(StateRow(key, value))
        else:
            damaged.append(key)
    return rows, damaged


def forget(writer: Writer, states: Sequence[str], answers: Sequence[tuple[str, str]]) -> None:
    """Remove rows that were found damaged, unless they have been written anew since, and tell of them. A job."""
    execute = writer.connection.execute
    names = []
    for key in states:
        row = execute("SELECT key, value, crc FROM state WHERE key = ?", (key,)).fetchone()
        if row is not None and state_crc(row[0], row[1]) != row[2]:
            execute("DELETE FROM state WHERE key = ?", (key,))
            names.append(key)
    for answer in answers:
        row = execute(_ANSWER, answer).fetchone()
        if row is not None and redelivery_crc(*row[:5]) != row[5]:
            execute("DELETE FROM redelivery WHERE device = ? AND message_id = ?", answer)
            names.append("the answer to message {1} of {0}".format(*answer))
    if names:
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        reason = f"what was remembered was damaged on the disk and is forgotten: {', '.join(names[:NAMED_MAX])}{more}"
        told = Told(reason, memory_lost=len(names))
        record_incident(writer.connection, MEMORY_DAMAGED, told, at=writer.wall(), operating_ms=writer.clock.now_ms())
