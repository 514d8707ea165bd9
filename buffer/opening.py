"""Opening an outbox: lock, salvage, writer, schema, epoch, readers; and closing it. Runs in the writer thread.

The order matters. The lock comes before anything is touched. Damage is looked for through a connection that changes
nothing, since the first thing a writing one does is to believe the write-ahead log. Durability is read back before
anything is promised. The mark "in use" reaches the database file itself (checkpoint), so that the next open can tell
an orderly end from a crash and notice that the write-ahead log of a crash is gone.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from buffer.connection import DATABASE_NAME, READ_ONLY_HINT, fault_at_open, fault_of, open_reader, open_writer
from buffer.errors import OutboxDamaged, OutboxError, OutboxFull, OutboxLocked
from buffer.inspection import inspect
from buffer.ledger import Epoch, begin_run
from buffer.limits import Limits, Room
from buffer.lock import FolderLock, boot_id
from buffer.migrate import migrate
from buffer.operating_clock import OperatingClock
from buffer.pages import FRAME_BYTES, WAL_HEAD_BYTES
from buffer.presence import Presence
from buffer.reader import OutboxReader
from buffer.salvage import complete, salvage
from buffer.spare import Spare, is_full
from buffer.writer import Writer


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything an open outbox consists of."""

    folder: Path
    lock: FolderLock
    writer: Writer
    reader: OutboxReader
    quick: sqlite3.Connection
    """Read-only, for the lookups the event loop does itself."""
    epochs: list[Epoch]
    marks: list[tuple[int, int]]
    clock: OperatingClock
    room: Room


def open_files(
    folder: Path,
    *,
    source: str,
    limits: Limits,
    wall: Callable[[], int],
    monotonic: Callable[[], float],
    new_epoch: Callable[[], str],
) -> Opened:
    """Open or create the outbox of a folder. Raises as `Outbox.open` does; nothing stays open then.

    Without room to open, the room set aside for this is given up, and it is tried once more.
    """
    _make_folder(folder)
    spare = Spare(folder, bytes_min=limits.spare_bytes, bytes_max=limits.disk_reserve_bytes)
    open_once = partial(
        _open_files,
        folder,
        spare,
        source=source,
        limits=limits,
        wall=wall,
        monotonic=monotonic,
        new_epoch=new_epoch,
    )
    try:
        return open_once()
    except OutboxLocked:
        raise
    except OutboxError as error:
        # SQLite calls a log index that finds no room an I/O error.
        if not (isinstance(error, OutboxFull) or is_full(folder)) or not spare.release():
            raise
        return open_once()


def _open_files(
    folder: Path,
    spare: Spare,
    *,
    source: str,
    limits: Limits,
    wall: Callable[[], int],
    monotonic: Callable[[], float],
    new_epoch: Callable[[], str],
) -> Opened:
    path = folder / DATABASE_NAME
    lock = FolderLock(folder)
    try:
        with ExitStack() as on_failure:
            on_failure.callback(lock.release)
            _make_whole(path, lock, wall=wall, monotonic=monotonic)
            wal_was_lost = _prepare(path)
            connection = on_failure.enter_context(closing(open_writer(path)))
            migrate(connection)
            epochs = begin_run(connection, source=source, new_epoch=new_epoch, at=wall(), wal_was_lost=wal_was_lost)
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            _sync_folder(folder)
            stored_ms, generation = connection.execute("SELECT operating_ms, generation FROM ledger").fetchone()
            lock.remember(generation)
            clock = OperatingClock(stored_ms, monotonic)
            room = Room(limits, monotonic)
            presence = Presence([path, path.with_name(path.name + "-wal"), lock.path])
            writer = Writer(
                connection, path, presence=presence, limits=limits, room=room, clock=clock, wall=wall, spare=spare
            )
            marks = connection.execute("SELECT operating_ms, seq FROM age_mark ORDER BY operating_ms").fetchall()
            slow = on_failure.enter_context(closing(open_reader(path)))
            quick = on_failure.enter_context(closing(open_reader(path)))
            opened = Opened(folder, lock, writer, OutboxReader(slow), quick, epochs, marks[-1440:], clock, room)
            on_failure.pop_all()
            return opened
    except sqlite3.Error as error:
        raise fault_at_open(error, folder) from error


def _make_whole(path: Path, lock: FolderLock, *, wall: Callable[[], int], monotonic: Callable[[], float]) -> None:
    """Return when what is at `path` is an outbox as it was left, or nothing yet. Salvages a damaged one."""
    complete(path.parent)
    _undo_half_done(path)
    finding = inspect(path, lock.traces, boot=boot_id(), monotonic=monotonic)
    if finding is not None:
        salvage(path.parent, finding, at=wall())


def _undo_half_done(path: Path) -> None:
    """Roll back what a power cut left half done outside the write-ahead log.

    SQLite makes a file, and turns one that a tool has left into one with a log, under a rollback journal. Only a
    writing connection can play that back; without it one that changes nothing refuses to read, at every start again.
    """
    if not path.with_name(path.name + "-journal").exists() or not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        if not isinstance(fault_at_open(error), OutboxDamaged):
            raise  # a full or read-only disk; damage is for whoever looks next


def close_files(opened: Opened) -> None:
    """End the run in order: nothing is lost when the write-ahead log is then missing. Raises OutboxError."""
    connection = opened.writer.connection
    try:
        opened.reader.close()
        opened.quick.close()
        connection.execute(
            "UPDATE ledger SET in_use = 0, operating_ms = max(operating_ms, ?)", (opened.clock.now_ms(),)
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()
    except sqlite3.Error as error:
        raise fault_of(error) from error
    finally:
        opened.lock.release()


def abandon_files(opened: Opened) -> None:
    """Let go after an unknown commit. The writing connection is not closed: closing it would flush once more."""
    opened.reader.close()
    opened.quick.close()
    opened.lock.release()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            hint = READ_ONLY_HINT if error.errno == errno.EROFS else "free space on this disk"
            raise OutboxFull(f"cannot write in {folder}: {error.strerror}", hint=hint) from error
        raise OutboxError(
            f"cannot make {folder}: {error.strerror}", hint="check [storage] path and its owner"
        ) from error


def _prepare(path: Path) -> bool:
    """Create the file for its owner only; returns whether there is no write-ahead log to speak of."""
    wal = path.with_name(path.name + "-wal")
    # Not after SQLite has opened the file: closing any descriptor of it would drop SQLite's locks.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    # While an outbox is in use its log holds at least one frame; SQLite overwrites it and does not shorten it so far.
    return not wal.exists() or wal.stat().st_size < WAL_HEAD_BYTES + FRAME_BYTES


def _sync_folder(folder: Path) -> None:
    """Make the names of new files durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
