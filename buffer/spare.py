"""Room set aside for the day on which the disk is full: a file with blocks of its own, given up when they are needed.

Opening an outbox, settling what an upstream took, and carrying a damaged outbox into a new file all write. On a disk
that another program filled to the last byte none of it could, and the gateway would neither start nor drain. When
something that must not wait finds no room, the file is removed and it is tried again. It is made anew when there is
plenty of room.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

SPARE_NAME = "outbox.spare"
FULL_BYTES = 256 * 1024
"""Less free space than this is none: a log and its index take about as much."""
SMALL_SHARE = 4
"""Of a disk that has not room enough for what is wanted, the part that is set aside: one in so many."""
SALVAGE_SHARE = 1.25
"""Of the outbox: what carrying it into a new file takes, with something to spare."""


class Spare:
    """The room set aside in one folder. The writer thread only."""

    def __init__(self, folder: Path, *, bytes_min: int, bytes_max: int) -> None:
        """`bytes_min` is wanted always (0: nothing is set aside), up to `bytes_max` for a large outbox."""
        self._path = folder / SPARE_NAME
        self._bytes_min = bytes_min
        self._bytes_max = bytes_max

    @property
    def held(self) -> int:
        """How many bytes are set aside."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def release(self) -> bool:
        """Give the room up; returns whether there was any."""
        if not self.held:
            return False
        with contextlib.suppress(OSError):
            self._path.unlink()
            return True
        return False

    def make(self, *, outbox_bytes: int, disk_free: int, keep_free: int) -> None:
        """Set room aside for an outbox of that size if `keep_free` bytes and as much again stay free. Never raises.

        A disk that is too small for that gives a quarter of what it has: without any, what drains would have to wait
        as soon as somebody else filled it.
        """
        if not self._bytes_min:
            return
        wanted = max(self._bytes_min, min(int(outbox_bytes * SALVAGE_SHARE), self._bytes_max))
        fitting = min(self._bytes_min, (disk_free - keep_free) // SMALL_SHARE)
        held = self.held
        for size in sorted({wanted, self._bytes_min, fitting}, reverse=True):
            if size <= held or size < min(self._bytes_min, FULL_BYTES):
                return
            if disk_free >= keep_free + 2 * (size - held):
                self._allocate(size)
                return

    def _allocate(self, size: int) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            # A file that has the length and not the blocks would promise what it cannot give.
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EOPNOTSUPP, errno.EINVAL):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def is_full(folder: Path) -> bool:
    """Whether there is hardly any room on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < FULL_BYTES
