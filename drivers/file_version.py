"""What tells one state of a file from another, so that it is read again when a person changes it."""

from __future__ import annotations

from pathlib import Path

FileVersion = tuple[int, ...]


def file_version(path: Path) -> FileVersion:
    """Return what differs after every change. Raises OSError.

    Owner and mode are part of it, and the time of the last change of any such thing: a file that was put in place
    unreadable and then given to the service (chown, chmod) has the content it had, and may be read now.
    """
    status = path.stat()
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (*times, status.st_size, status.st_ino, status.st_mode, status.st_uid, status.st_gid)
