"""Many rows in few statements.

`executemany` steps once a row, and Python's SQLite binding lets go of the interpreter lock for every step. With the
event loop busy in another thread, each step then queues for that lock, and a commit of five hundred rows waits five
hundred times. One INSERT of many rows waits once, and its work runs beside the event loop on another core.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

SIZES = (256, 64, 16, 4, 1)
"""Rows in one statement; few sizes, so that all of them stay prepared. 256 rows of nine columns are far below
SQLite's 32,766 parameters (SQLITE_MAX_VARIABLE_NUMBER since 3.32)."""


class BulkInsert:
    """One INSERT statement for any number of rows of `columns` values."""

    def __init__(self, into: str, columns: int) -> None:
        """`into` is the statement up to and without VALUES."""
        row = f"({','.join('?' * columns)})"
        self._statements = [(size, f"{into} VALUES {','.join([row] * size)}") for size in SIZES]

    def run(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert the rows in their order, inside the caller's transaction."""
        at, count = 0, len(rows)
        for size, statement in self._statements:
            while count - at >= size:
                connection.execute(statement, tuple(chain.from_iterable(rows[at : at + size])))
                at += size
