"""A copy of the outbox as of one commit, taken beside the daemon's one writer.

`VACUUM INTO` on a read-only connection: one read transaction, nothing written to the outbox, no checkpoint. Commits go
on meanwhile, and the write-ahead log grows until the copy is whole. Unlike a copy of the file the result needs no log
beside it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from buffer.connection import DATABASE_NAME, fault_of, open_reader
from buffer.errors import OutboxDamaged, OutboxError, OutboxFull, OutboxMissing


def snapshot(folder: Path, target: Path) -> None:
    """Copy the outbox as of its last commit into the new file `target`, readable by its owner only; flushed.

    Raises OutboxMissing, OutboxDamaged, OutboxFull.
    """
    path = folder / DATABASE_NAME
    if not path.is_file() or not path.stat().st_size:
        raise OutboxMissing(f"there is no outbox in {folder}", hint="is [storage] path right? has the daemon run?")
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(open_reader(path)) as connection:
            connection.execute("PRAGMA query_only = OFF")  # of the copy; the outbox itself is opened read-only
            connection.execute("VACUUM INTO ?", (str(target),))
        sync_file(target)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise _fault_of_copy(error, target) from error
    except OSError:
        target.unlink(missing_ok=True)
        raise


def _fault_of_copy(error: sqlite3.Error, target: Path) -> OutboxError:
    """Return what a failed copy means; unlike a failed commit it leaves nothing unknown."""
    match fault_of(error):
        case OutboxFull():
            return OutboxFull("there is no room for the copy", hint=f"free space in {target.parent}")
        case OutboxDamaged() as damage:
            return damage
    return OutboxError(f"the outbox cannot be copied ({error})", hint=f"check the disk of {target.parent}")


def sync_file(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
