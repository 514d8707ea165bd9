"""How full the outbox is, and how long it lasts."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from buffer.forecast import Forecast
from buffer.limits import Level, Limits, Room
from buffer.retention import settled_through

ENTRY_BYTES_GUESS = 1024
"""Size of an entry on disk while there are too few to tell."""
ENTRIES_TO_TELL = 1000


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """How full the outbox is."""

    bytes_used: int
    bytes_max: int
    disk_free: int
    disk_reserve_bytes: int
    entries: int
    head_seq: int
    oldest_seq: int | None
    oldest_captured_at: int | None
    """Wall clock, milliseconds since 1970 UTC."""
    level: Level
    full_reason: str | None
    """Why appends are refused; None while they are not."""
    autonomy_hours: float | None
    """For how long there is room when nothing more is delivered, at today's rate; None while nothing comes in."""
    failed_commits: int


def take_stats(
    connection: sqlite3.Connection,
    *,
    limits: Limits,
    room: Room,
    forecast: Forecast,
    operating_ms: int,
    failed_commits: int,
) -> OutboxStats:
    """Return the numbers as of the last commit."""
    accepted, purged, head = connection.execute("SELECT accepted, purged, head_seq FROM ledger").fetchone()
    oldest = connection.execute("SELECT seq, captured_at FROM entry ORDER BY seq LIMIT 1").fetchone()
    entries = accepted - purged
    entry_bytes = room.usage.bytes_used / entries if entries >= ENTRIES_TO_TELL else ENTRY_BYTES_GUESS
    # What everybody has may be removed early, so it is room as well.
    settled = max(0, entries - (head - settled_through(connection, optional_too=True)))
    return OutboxStats(
        bytes_used=room.usage.bytes_used,
        bytes_max=limits.bytes_max,
        disk_free=room.usage.disk_free,
        disk_reserve_bytes=limits.disk_reserve_bytes,
        entries=entries,
        head_seq=head,
        oldest_seq=oldest[0] if oldest else None,
        oldest_captured_at=oldest[1] if oldest else None,
        level=room.level,
        full_reason=room.full_reason,
        autonomy_hours=forecast.autonomy_hours(operating_ms, head, room.bytes_left() / entry_bytes + settled),
        failed_commits=failed_commits,
    )
