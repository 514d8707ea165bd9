"""One daemon an outbox: an advisory lock on a file beside it.

`flock`, not the database's own locks: those are per transaction, and closing any descriptor of the database file would
drop the POSIX locks SQLite holds. The kernel releases a flock when the process dies: there is no stale lock to clean.

The file also says what the last run was: its process, which outbox file it had open, and during which start of the
computer. So a database that vanished is not taken for one that never was, and a log that breaks off after a mere kill
is not taken for one that a power cut broke off.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from buffer.connection import READ_ONLY_HINT
from buffer.errors import OutboxError, OutboxFull, OutboxLocked
from buffer.ownership import adopt

LOCK_NAME = "outbox.lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Traces(NamedTuple):
    """What the last run left; empty when there was none, or when it is not known."""

    generation: str = ""
    """The outbox file it had open."""
    boot: str = ""
    """The start of the computer during which it ran."""


class FolderLock:
    """The exclusive right to write the outbox of one folder."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises OutboxLocked (with the other's pid), OutboxFull on a read-only or full disk, OutboxError for a link.
        """
        self.path = folder / LOCK_NAME
        try:
            # Root locks folders of others, and writes into this file: never through a link that one of them made.
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                hint = "who made it? remove the link; the daemon makes the file anew"
                raise OutboxError(f"{self.path} is a symbolic link", hint=hint) from error
            if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
                hint = READ_ONLY_HINT if error.errno == errno.EROFS else "free space on this disk"
                raise OutboxFull(f"cannot write in {folder}: {os.strerror(error.errno)}", hint=hint) from error
            raise
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, self._fd)
            adopt(self.path)
            self.traces = self._take()
            on_failure.pop_all()

    def _take(self) -> Traces:
        text = os.pread(self._fd, 256, 0).decode("ascii", "replace").split()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = int(text[0]) if text and text[0].isascii() and text[0].isdigit() else None
            raise OutboxLocked(
                f"{self.path.parent} is in use by process {pid if pid is not None else '(unknown)'}",
                pid=pid,
                hint="stop the other daemon, or give this one a [storage] path of its own",
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise OutboxError(
                f"{self.path.parent} is on a file system that gives no locks: {os.strerror(error.errno)}",
                hint="is it a network share? put [storage] path on a disk of this computer",
            ) from error
        traces = Traces(*("" if word == "-" else word for word in text[1:3])) if len(text) >= 3 else Traces()
        self._write(traces)
        return traces

    def remember(self, generation: str) -> None:
        """Note which outbox file is open now."""
        traces = Traces(generation, boot_id())
        self._write(traces)
        if traces.generation != self.traces.generation:
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
        self.traces = traces

    def _write(self, traces: Traces) -> None:
        # Of one length and in place: a power cut must not leave an empty file. A courtesy to the next start and to the
        # operator of a second daemon; a full disk must not stop this one for it.
        text = f"{os.getpid():<10}\n{traces.generation or '-':<32}\n{traces.boot or '-':<36}\n"
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, text.encode(), 0)
            os.ftruncate(self._fd, len(text))

    def release(self) -> None:
        """Give the lock up. The file stays: removing it would let two daemons lock two files of one name."""
        os.close(self._fd)


def boot_id() -> str:
    """Return the name of this start of the computer; empty where the system does not give one."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
