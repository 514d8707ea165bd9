"""Wipe: everything this program put into its storage folder is overwritten and removed.

Overwriting reaches the blocks of a file on a plain disk. Flash moves data around behind the file system's back, and so
do file systems that copy on write: whoever must be sure there encrypts the disk, or destroys it.

Idempotent: after a kill in the middle the rest is wiped by calling it again. The lock is held until the end, so that no
daemon opens a folder that is half gone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from buffer.lock import LOCK_NAME, FolderLock

OURS = ("outbox.*", "damaged-*", "replaced-*", "rehearsal-*")
"""What the outbox, its salvages, restores, backups and rehearsals are called."""
CHUNK_BYTES = 1024 * 1024


def wipe(folder: Path, *, also: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Overwrite and remove our files in `folder`, and those that `also` (patterns) names; return once that is on disk.

    Returns the names of what is gone, and of what is somebody else's and was left. Raises OutboxLocked while a daemon
    runs; OSError names a file that could not be removed.
    """
    lock = FolderLock(folder)
    try:
        gone = []
        for path in _ours(folder, (*OURS, *also)):
            overwrite(path)
            gone.append(path.name)
        _sync(folder)
        lock.path.unlink()
        _sync(folder)
    finally:
        lock.release()
    return gone, sorted(path.name for path in folder.iterdir())


def overwrite(path: Path) -> None:
    """Overwrite a file, or every file in a folder, with zeros, and remove it. A link is removed, not followed."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        for child in path.iterdir():
            overwrite(child)
        shutil.rmtree(path)
    elif path.is_file():
        _zero(path)
        path.unlink()
    else:
        path.unlink(missing_ok=True)


def _zero(path: Path) -> None:
    left = path.stat().st_size
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        while left > 0:
            left -= os.write(descriptor, bytes(min(left, CHUNK_BYTES)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _ours(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    # The database itself first: once it is gone nothing of it can be taken for whole.
    found = {path for pattern in patterns for path in folder.glob(pattern)} - {folder / LOCK_NAME}
    yield from sorted(found, key=lambda path: (path.name != "outbox.db", path.name))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
