"""What the machine itself allows, measured in the same run as the gateway: the denominators of every ratio."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from pathlib import Path

ROWS_PER_COMMIT = 500


def raw_rows_per_s(folder: Path, rows: int, payload: bytes) -> float:
    """Return how many rows a second plain `executemany` writes: 500 a commit, WAL, synchronous=FULL.

    The rows are those of the outbox (same columns, same payload), so that the ratio says what the gateway adds to
    writing them and not how large they are.
    """
    path = folder / "raw.db"
    row = (b"i" * 36, "dockline.pick.v1", "floor", "hh-001", 1_795_000_000_000, payload, b"d" * 16, b"c" * 32)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE raw (seq INTEGER PRIMARY KEY, id, type, station, device, captured_at, payload, digest, chain)"
        )
        started = time.perf_counter()
        for _ in range(rows // ROWS_PER_COMMIT):
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO raw (id, type, station, device, captured_at, payload, digest, chain)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [row] * ROWS_PER_COMMIT,
            )
            connection.execute("COMMIT")
        seconds = time.perf_counter() - started
    finally:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    return rows / seconds


def fdatasync_p50_ms(folder: Path, times: int = 200) -> float:
    """Return the median time to append 4 KiB to a file and flush it to the disk."""
    path = folder / "flush.bin"
    taken = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(times):
            started = time.perf_counter()
            os.write(descriptor, b"\0" * 4096)
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(taken)
