"""What became of one entry with each upstream, and when: for people who ask about one event.

Theory of operation. An entry is never updated, so the time of its delivery cannot stand in its row; and a row for each
entry and upstream would cost as much as the entry. But positions move in ranges, so what is kept is one row for each
second in which a position moved, written in the commit that moves it: at most one a second, and none while nothing is
delivered. A time is therefore exact to a second. What was settled before there was this journal, or was carried over by
a salvage, has none: that is said, and nothing is guessed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from buffer.row_check import position_rows

Fate = Literal["pending", "accepted", "settled", "open", "retry", "delivered", "discarded"]
"""pending: it still has to be sent. accepted: the upstream took it. settled: its position is past it, and when that was
is not recorded (or the upstream began behind it). The others are the states of the quarantine."""
KEEP_MS = 60_000
"""Marks of age are made once a minute: entries may be older than the oldest mark by so much."""

_NOTE = """
INSERT INTO settlement (second, upstream, after_seq, through_seq, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (second, upstream) DO UPDATE SET
    after_seq = CASE WHEN excluded.after_seq = through_seq THEN after_seq ELSE excluded.after_seq END,
    through_seq = excluded.through_seq,
    at = excluded.at
"""
_WHEN = """
SELECT at FROM settlement WHERE upstream = ? AND after_seq < ? AND through_seq >= ? ORDER BY second LIMIT 1
"""
_DECIDED = "SELECT at FROM audit WHERE upstream = ? AND seq = ? ORDER BY number DESC LIMIT 1"
_FORGET = "DELETE FROM settlement WHERE second < (SELECT min(operating_ms) - ? FROM age_mark) / 1000"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one entry with one upstream."""

    upstream: str
    fate: Fate
    at: int | None
    """Wall clock, milliseconds since 1970 UTC; None: not yet, or not recorded."""
    reason: str | None = None
    """Why it is in quarantine."""


def note_settled(
    connection: sqlite3.Connection, upstream: str, *, after: int, through: int, operating_ms: int, at: int
) -> None:
    """Note that a position moved, inside the transaction that moves it."""
    if through > after:
        connection.execute(_NOTE, (operating_ms // 1000, upstream, after, through, at))


def forget_settled(connection: sqlite3.Connection) -> None:
    """Remove what tells of entries that retention removed, inside its transaction."""
    connection.execute(_FORGET, (KEEP_MS,))


def settlements(connection: sqlite3.Connection, seq: int) -> list[Settlement]:
    """Return what became of an entry with every upstream, by name. Raises OutboxDamaged."""
    return [_settlement(connection, str(row[0]), int(row[1]), seq) for row in position_rows(connection)]


def _settlement(connection: sqlite3.Connection, upstream: str, position: int, seq: int) -> Settlement:
    found = connection.execute(
        "SELECT state, since, reason FROM quarantine WHERE upstream = ? AND seq = ?", (upstream, seq)
    ).fetchone()
    if found is not None:
        state, since, reason = found
        decided = connection.execute(_DECIDED, (upstream, seq)).fetchone()
        return Settlement(upstream, state, decided[0] if decided else since, reason)
    when = connection.execute(_WHEN, (upstream, seq, seq)).fetchone()
    at = None if when is None else int(when[0])
    if seq > position:
        return Settlement(upstream, "pending", at)
    return Settlement(upstream, "settled" if at is None else "accepted", at)
