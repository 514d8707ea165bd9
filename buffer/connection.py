"""Connections to the outbox file, and what SQLite's errors mean for a promise.

One connection writes and checkpoints: before 3.51.3 SQLite can corrupt a write-ahead log when two connections write
or checkpoint at once. It checkpoints explicitly, because automatic checkpoints swallow I/O errors. All others are
opened read-only.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import quote

from buffer.errors import CommitUnknown, NotDurable, OutboxDamaged, OutboxError, OutboxFull

DATABASE_NAME = "outbox.db"
APPLICATION_ID = 0x444B4C4E
"""Marks the file as ours ("DKLN"), for file(1) and for refusing somebody else's database."""

BUSY_TIMEOUT_MS = 5000
WAL_BYTES_MAX = 16 * 1024 * 1024
"""To what the write-ahead log is cut back after a burst."""

SYNCHRONOUS_FULL = 2

READ_ONLY_HINT = "the kernel found an error and protects the disk: see its log, check and mount it again"


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the writing connection. Returns when a commit on it is durable.

    Raises NotDurable when SQLite would not promise that, sqlite3.Error when the file cannot be opened or read.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        configure_writer(connection)
        on_failure.pop_all()
    return connection


def configure_writer(connection: sqlite3.Connection) -> None:
    """Set what durability needs, and read it back."""
    connection.text_factory = text_of
    execute = connection.execute
    execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    execute("PRAGMA trusted_schema = OFF")
    execute("PRAGMA foreign_keys = ON")
    execute("PRAGMA mmap_size = 0")  # an I/O error under mmap is a SIGBUS, not an error code
    execute("PRAGMA cache_size = -4000")
    # What a statement would be undone by is small. In a file of /var/tmp it would need a descriptor and room on another
    # disk in the middle of a commit, and a commit that fails for that is an unknown one.
    execute("PRAGMA temp_store = MEMORY")
    execute("PRAGMA wal_autocheckpoint = 0")
    execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    execute("PRAGMA journal_mode = WAL")
    # A forklift charger pulls the mains twice a shift; NORMAL would lose what a scanner was told is safe.
    execute("PRAGMA synchronous = FULL")
    require_durable(connection)


def require_durable(connection: sqlite3.Connection) -> None:
    """Return when commits are durable; raises NotDurable naming the setting that did not hold."""
    for pragma, expected in (("journal_mode", "wal"), ("synchronous", SYNCHRONOUS_FULL), ("foreign_keys", 1)):
        (found,) = connection.execute(f"PRAGMA {pragma}").fetchone()
        if found != expected:
            raise NotDurable(
                f"{pragma} is {found!r} and should be {expected!r}: a commit might not survive a power cut",
                hint="put [storage] path on a local disk: network file systems cannot hold a write-ahead log",
            )


def open_reader(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open a connection that cannot write. Raises OutboxDamaged, or sqlite3.OperationalError when there is no file."""
    uri = f"file:{quote(str(path))}?mode=ro" + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.text_factory = text_of
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        on_failure.pop_all()
    return connection


text_of = partial(str, encoding="utf-8", errors="replace")
"""How text columns are read: one that is not UTF-8 any more must not make a whole query, let alone a commit, fail."""


def fault_of(error: sqlite3.Error, folder: Path | None = None) -> OutboxError:
    """Return what a database error means: refused and known not to be stored, unknown, or damaged.

    With the `folder` of the outbox an error that SQLite has no better word for is given a reason, if there is one.
    """
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    primary = None if code is None else code & 0xFF
    match primary:
        case sqlite3.SQLITE_FULL:
            return OutboxFull("the disk is full", hint="free space on the disk of [storage] path")
        case sqlite3.SQLITE_READONLY:
            return OutboxFull("the outbox is read-only", hint=READ_ONLY_HINT)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return OutboxFull("another program is writing to the outbox", hint="close database tools that hold it open")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_FORMAT:
            return OutboxDamaged(f"the outbox file is damaged ({name})")
        case _ if folder is not None and is_read_only(folder):
            return CommitUnknown(
                f"the file system of the outbox has turned read-only ({name})",
                hint=READ_ONLY_HINT,
            )
        case _:
            return CommitUnknown(f"the disk failed ({name}: {error})", hint="check the disk and the kernel log")


def is_read_only(folder: Path) -> bool:
    """Return whether nothing can be written in a folder because its file system is read-only."""
    return _refusal(folder) == errno.EROFS


def _refusal(folder: Path) -> int | None:
    """Return why no file can be made in a folder; None when one can.

    By trying: after an error the kernel refuses writes in a file system that still calls itself writable.
    """
    probe = folder / ".writable"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        probe.unlink()
    except OSError as error:
        return error.errno
    return None


def fault_at_open(error: sqlite3.Error, folder: Path | None = None) -> OutboxError:
    """Return what a database error means while nothing has been promised yet.

    With the `folder` of the outbox SQLite's word for whatever it cannot open is given a reason, if there is one.
    """
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match code:
        case sqlite3.SQLITE_ERROR | sqlite3.SQLITE_CONSTRAINT | sqlite3.SQLITE_MISMATCH:
            return OutboxDamaged(f"the tables of the outbox are not as they should be ({error})")
        case sqlite3.SQLITE_CANTOPEN if folder is not None and _refusal(folder) in (errno.ENOSPC, errno.EDQUOT):
            hint = "its bytes or its inodes are used up: df -h and df -i; remove files on that disk"
            return OutboxFull("there is no room for another file beside the outbox", hint=hint)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return OutboxError(f"the outbox cannot be opened ({error})", hint="check the owner of [storage] path")
        case _:
            return fault_of(error)
