"""Run a step of work over and over, each time killed (SIGKILL) right before another of its file operations.

The operations are those Python announces in its audit hook: opening, renaming, linking, removing, making a folder,
connecting to a database. Each run is a process of its own, forked before anything is open. `KillPoints.run` gives the
number of operations when nothing kills.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

OPERATIONS = {
    "open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.chown", "os.truncate", "shutil.rmtree",
    "shutil.copyfileobj", "sqlite3.connect", "tempfile.mkdtemp",
}  # fmt: skip
RUNS_MAX = 2000


def killed_at_every_point(work: Callable[[], None]) -> Iterator[int]:
    """Yield after each run that was killed, with the number of the operation it died before; end with a whole run."""
    for point in range(1, RUNS_MAX):
        child = os.fork()
        if child == 0:
            _run_until(point, work)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, "the work failed by itself"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield point
    raise AssertionError(f"more than {RUNS_MAX} operations")


def _run_until(point: int, work: Callable[[], None]) -> None:
    seen = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event not in OPERATIONS or (event == "open" and _is_source(arguments)):
            return
        seen += 1
        if seen == point:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _is_source(arguments: tuple[object, ...]) -> bool:
    """Whether a file of Python's own, or of the program's SQL, is opened."""
    return str(arguments[0]).endswith((".py", ".pyc", ".sql"))
