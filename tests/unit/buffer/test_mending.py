"""A wrong link of the chain is set right where a third link says which of two is wrong."""

from __future__ import annotations

import sqlite3

from outbox_rig import drafts

from buffer.digest import CHAIN_START, chain_of, seal
from buffer.mending import mended

WRONG = b"\x01" * 16


def linked(*wrong: int) -> tuple[sqlite3.Connection, list[bytes]]:
    """Return five linked rows, some with a wrong link, and the links they should have."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE entry (seq, digest, chain)")
    rows, _ = seal(drafts(1, 5), 1, CHAIN_START)
    for row in rows:
        connection.execute("INSERT INTO entry VALUES (?,?,?)", (row[0], row[7], WRONG if row[0] in wrong else row[8]))
    return connection, [row[8] for row in rows]


def test_a_whole_chain_is_left_alone() -> None:
    connection, _ = linked()
    assert mended(connection, [], None) == ([], [])


def test_the_next_link_says_which_one_is_wrong() -> None:
    connection, right = linked(3)
    assert mended(connection, [], None) == ([(3, right[2])], [])


def test_the_ledger_vouches_for_the_last_one() -> None:
    connection, right = linked(5)
    assert mended(connection, [], (1, 5, right[4])) == ([(5, right[4])], [])
    assert mended(connection, [], None) == ([], [4])


def test_behind_an_anchor_the_chain_goes_on_from_it() -> None:
    connection, right = linked()
    connection.execute("DELETE FROM entry WHERE seq <= 2")
    assert mended(connection, [(1, 2, right[1])], None) == ([], [])
    assert mended(connection, [(1, 2, WRONG)], None) == ([], [2])
    assert chain_of(right[1], 3, connection.execute("SELECT digest FROM entry WHERE seq = 3").fetchone()[0]) == right[2]
