"""One daemon an outbox: an advisory lock on a file beside it.

`flock`, not the database's own locks: those are per transaction, and closing any descriptor of the database file would
drop the POSIX locks SQLite holds. The kernel releases a flock when the process dies: there is no stale lock to clean.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from buffer.errors import OutboxFull, OutboxLocked

LOCK_NAME = "outbox.lock"


class FolderLock:
    """The exclusive right to write the outbox of one folder."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises OutboxLocked (with the other's pid), OutboxFull on a read-only or full disk."""
        self.path = folder / LOCK_NAME
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                raise OutboxFull(f"cannot write in {folder}: {os.strerror(error.errno)}") from error
            raise
        try:
            self._take()
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = os.pread(self._fd, 32, 0).split()
            pid = int(text[0]) if text and text[0].isdigit() else None
            raise OutboxLocked(
                f"{self.path.parent} is in use by process {pid if pid is not None else '(unknown)'}",
                pid=pid,
                hint="stop the other daemon, or give this one a [storage] path of its own",
            ) from error
        # The pid is a courtesy to the operator of a second daemon; a full disk must not stop the first one for it.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give the lock up. The file stays: removing it would let two daemons lock two files of one name."""
        os.close(self._fd)
