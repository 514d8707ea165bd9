"""Whether the files are still the ones that were opened.

SQLite goes on writing into a file that somebody removed or replaced: every commit succeeds and is lost when the process
ends. Three `stat` calls a commit, and on every watchdog question, notice it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from buffer.errors import CommitUnknown


class Presence:
    """The identity of the files of an open outbox."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Remember what stands at each path now; all of them must exist."""
        self._files = [(str(path), identity_of(str(path))) for path in paths]

    def check(self) -> None:
        """Return when every file is the one that was opened; raises CommitUnknown when one is not."""
        for path, expected in self._files:
            if identity_of(path) != expected:
                raise CommitUnknown(
                    f"{path} was removed or replaced while it was open",
                    hint="nothing may touch the files of [storage] path while the daemon runs; restore them or restart",
                )


def identity_of(path: str) -> tuple[int, int] | None:
    """Return device and inode of a file, None when there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - on the path of every commit
    except OSError:
        return None
    return status.st_dev, status.st_ino
