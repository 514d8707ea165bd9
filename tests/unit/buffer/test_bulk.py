"""Many rows in few statements."""

from __future__ import annotations

import sqlite3

import pytest

from buffer.bulk import SIZES, BulkInsert


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 21, 255, 256, 257, 600])
def test_every_row_goes_in_once_and_in_order(count: int) -> None:
    """Statements exist for a few sizes only: what is left over goes in with smaller ones."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (n INTEGER, text TEXT)")
    rows = [(number, f"row {number}") for number in range(count)]
    BulkInsert("INSERT INTO t (n, text)", 2).run(connection, rows)
    assert connection.execute("SELECT n, text FROM t ORDER BY rowid").fetchall() == rows
    connection.close()


def test_a_later_row_of_one_statement_wins() -> None:
    """A handheld uses a number twice in one array: the newest answer stays."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY, v) WITHOUT ROWID")
    BulkInsert("INSERT OR REPLACE INTO t (k, v)", 2).run(connection, [("a", 1), ("b", 2), ("a", 3), ("c", 4)])
    assert connection.execute("SELECT k, v FROM t").fetchall() == [("a", 3), ("b", 2), ("c", 4)]
    connection.close()


def test_sizes_end_with_one_and_fit_into_sqlite() -> None:
    assert list(SIZES) == sorted(SIZES, reverse=True)
    assert SIZES[-1] == 1
    assert SIZES[0] * 9 <= 32_766
