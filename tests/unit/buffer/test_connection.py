"""Connections and what errors mean."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest
from descriptors import none_left
from outbox_rig import sqlite_error

from buffer import CommitUnknown, NotDurable, OutboxDamaged, OutboxError, OutboxFull
from buffer.connection import fault_at_open, fault_of, open_reader, open_writer, require_durable


def test_a_connection_that_is_not_durable_is_refused(tmp_path: Path) -> None:
    """Planted: somebody makes it faster. NORMAL would lose what a scanner was told is safe."""
    connection = open_writer(tmp_path / "x.db")
    require_durable(connection)
    for weaker in ("synchronous = NORMAL", "synchronous = OFF", "foreign_keys = OFF", "journal_mode = DELETE"):
        pragma = weaker.split()[0]
        connection.execute(f"PRAGMA {weaker}")
        with pytest.raises(NotDurable, match=pragma) as caught:
            require_durable(connection)
        assert caught.value.hint
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    connection.close()


def test_a_place_that_cannot_hold_a_write_ahead_log_is_refused() -> None:
    """Some file systems silently give another journal mode, as memory does."""
    with pytest.raises(NotDurable, match="journal_mode"):
        open_writer(Path(":memory:"))


def test_a_statement_needs_no_file_beside_the_outbox(tmp_path: Path) -> None:
    """With every descriptor in use, or no room in /var/tmp, a commit would fail for that, and be an unknown one."""
    writer = open_writer(tmp_path / "x.db")
    writer.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y TEXT UNIQUE)")
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, hex(i) || 'y' FROM n"
    )
    writer.execute(f"INSERT INTO t {many}")
    with none_left():
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE t SET y = y || 'z'")
        writer.execute("COMMIT")
    assert writer.execute("SELECT y FROM t WHERE x = 1").fetchone() == ("31yz",)
    writer.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "x.db")
    writer.execute("CREATE TABLE t (x)")
    reader = open_reader(tmp_path / "x.db")
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        reader.execute("CREATE TABLE u (x)")
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, OutboxFull),
        (sqlite3.SQLITE_READONLY, OutboxFull),
        (sqlite3.SQLITE_READONLY_DBMOVED, OutboxFull),
        (sqlite3.SQLITE_BUSY, OutboxFull),
        (sqlite3.SQLITE_LOCKED, OutboxFull),
        (sqlite3.SQLITE_CORRUPT, OutboxDamaged),
        (sqlite3.SQLITE_NOTADB, OutboxDamaged),
        (sqlite3.SQLITE_IOERR, CommitUnknown),
        (sqlite3.SQLITE_IOERR_FSYNC, CommitUnknown),
        (sqlite3.SQLITE_IOERR_WRITE, CommitUnknown),
        (sqlite3.SQLITE_CANTOPEN, CommitUnknown),
        (sqlite3.SQLITE_NOMEM, CommitUnknown),
    ],
)
def test_what_an_error_means(code: int, kind: type[OutboxError]) -> None:
    """Only what is known not to be stored may be called refused; whatever is not listed is unknown."""
    assert type(fault_of(sqlite_error(code))) is kind


def test_an_error_without_a_code_is_unknown() -> None:
    assert type(fault_of(sqlite3.OperationalError("?"))) is CommitUnknown


def test_a_start_on_a_disk_without_inodes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are megabytes free, and no file can be made: SQLite "cannot open" the outbox, and its owner is right."""
    error = sqlite_error(sqlite3.SQLITE_CANTOPEN)
    assert "owner" in str(fault_at_open(error, tmp_path).hint)

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", refuse)
    fault = fault_at_open(error, tmp_path)
    assert type(fault) is OutboxFull
    assert "df -i" in str(fault.hint)


def test_an_error_on_a_disk_that_turned_read_only_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite calls it an I/O error; what the operator has to know is that the kernel protects the disk."""
    error = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
    assert "the disk failed" in str(fault_of(error, tmp_path))
    assert list(tmp_path.iterdir()) == []

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    fault = fault_of(error, tmp_path)
    assert type(fault) is CommitUnknown
    assert "read-only" in str(fault)
