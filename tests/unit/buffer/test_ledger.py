"""The one row, and epochs."""

from __future__ import annotations

import sqlite3

import pytest

from buffer import OutboxDamaged
from buffer.ledger import begin_run, read_epochs, read_ledger
from buffer.migrate import migrate


def opened(connection: sqlite3.Connection, *, source: str = "//s/g", lost: bool = False) -> str:
    number = len(read_epochs(connection)) + 1
    return begin_run(connection, source=source, new_epoch=lambda: f"e{number}", at=0, wal_was_lost=lost)[-1].source


def test_reasons_for_an_epoch() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    assert opened(connection, lost=True) == "//s/g/e1"
    assert opened(connection) == "//s/g/e1"  # a crash with its log
    assert opened(connection, lost=True) == "//s/g/e2"  # a crash without
    connection.execute("UPDATE ledger SET in_use = 0")
    assert opened(connection, lost=True) == "//s/g/e2"  # an orderly end leaves no log
    assert opened(connection, source="//s/h") == "//s/h/e3"
    connection.execute("UPDATE ledger SET epoch_wanted = 'restored'")
    assert opened(connection, source="//s/h") == "//s/h/e4"
    assert opened(connection, source="//s/h") == "//s/h/e4"
    assert [epoch.reason for epoch in read_epochs(connection)] == [
        "created",
        "the write-ahead log was removed",
        "renamed",
        "restored",
    ]
    connection.close()


def test_an_epoch_is_never_used_twice() -> None:
    """A generator that repeats itself must not bring an old source back to life."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    begin_run(connection, source="//s/g", new_epoch=lambda: "same", at=0, wal_was_lost=False)
    connection.execute("UPDATE ledger SET epoch_wanted = 'restored'")
    with pytest.raises(sqlite3.IntegrityError):
        begin_run(connection, source="//s/g", new_epoch=lambda: "same", at=0, wal_was_lost=False)
    assert not connection.in_transaction
    connection.close()


def test_an_empty_ledger_is_damage() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    connection.execute("DELETE FROM ledger")
    with pytest.raises(OutboxDamaged):
        read_ledger(connection)
    connection.close()
