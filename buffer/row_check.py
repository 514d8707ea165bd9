"""The check sum of a row that has no digest: how a flipped bit in state, an answer or a position is noticed.

CRC-32 (the polynomial of ISO 3309, as zlib computes it) finds every single flipped bit and every burst of up to 32. It
is no protection against a person: whoever can write the file can compute it, too. The journal is what proves against
people; these rows are memory and positions, and a row here costs a fraction of a microsecond on the way of a scan.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from zlib import crc32

from buffer.errors import OutboxDamaged

CURSOR_COLUMNS = "upstream, seq, required, accepted_before, delivered, skipped, registered_at, lost"
"""What the check of a position covers, in order."""

_ONE_CURSOR = f"SELECT {CURSOR_COLUMNS}, crc FROM cursor WHERE upstream = ?"  # noqa: S608
_ALL_CURSORS = f"SELECT {CURSOR_COLUMNS}, crc FROM cursor ORDER BY upstream"  # noqa: S608
_SEAL_CURSOR = f"UPDATE cursor SET crc = cursor_crc({CURSOR_COLUMNS}) WHERE ?1 IS NULL OR upstream = ?1"  # noqa: S608


def state_crc(key: str, value: bytes) -> int:
    """Return the check of a state row."""
    return crc32(value, crc32(key.encode("utf-8", "replace")))


def redelivery_crc(device: str, message_id: str, fingerprint: bytes, verdict: bytes, committed_ms: int) -> int:
    """Return the check of an answer."""
    head = f"{device}\0{message_id}\0{committed_ms}\0{len(fingerprint)}\0".encode("utf-8", "replace")
    return crc32(head + fingerprint + verdict)


def cursor_crc(*columns: str | int) -> int:
    """Return the check of a position, of the columns that `CURSOR_COLUMNS` names."""
    return crc32("\0".join(map(str, columns)).encode("utf-8", "replace"))


CHECKS: dict[str, Callable[..., int]] = {"state": state_crc, "redelivery": redelivery_crc, "cursor": cursor_crc}
"""Table -> the check of its rows, of all columns before the last."""


def offer_checks(connection: sqlite3.Connection) -> None:
    """Let SQL on this connection compute checks: migrations and changes of positions need it."""
    for table, check in CHECKS.items():
        connection.create_function(f"{table}_crc", -1, check, deterministic=True)


def seal_cursor(connection: sqlite3.Connection, upstream: str | None = None) -> None:
    """Write the check of a position that was changed, or of all, inside the caller's transaction."""
    connection.execute(_SEAL_CURSOR, (upstream,))


def position_row(connection: sqlite3.Connection, upstream: str) -> tuple[str | int, ...] | None:
    """Return the columns of a position; None when there is none. Raises OutboxDamaged when its check fails."""
    row = connection.execute(_ONE_CURSOR, (upstream,)).fetchone()
    return None if row is None else _checked(row)


def position_rows(connection: sqlite3.Connection) -> list[tuple[str | int, ...]]:
    """Return the columns of every position. Raises OutboxDamaged when a check fails."""
    return [_checked(row) for row in connection.execute(_ALL_CURSORS)]


def _checked(row: tuple[str | int, ...]) -> tuple[str | int, ...]:
    *columns, crc = row
    if cursor_crc(*columns) != crc:
        raise OutboxDamaged(
            f"the position of upstream {row[0]!r} is damaged", hint="the next start delivers again what is kept for it"
        )
    return tuple(columns)
