"""`make test`: the tests of real processes, and beside them all others; the first mostly wait, the others compute.

Each half is a pytest of its own over files of its own. What the others say is kept until both have ended, so that
nobody has to read two texts at once. The exit code is 0 when both halves passed.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
REAL = "tests/system"
"""Starts gateways, brokers and a browser, and waits for them."""
BUSY = ("tests/system/test_demo.py", "tests/system/test_kill_storm.py", "tests/system/test_scenarios.py")
"""Those of the real processes that keep a processor busiest. They go with the others: so both halves take as long."""

Half = subprocess.Popen[bytes]


def others() -> list[str]:
    """Return every folder of tests but that of the real processes, and the busy files of that one."""
    folders = {path.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("test_*.py")}
    return [*sorted(f"tests/{folder}" for folder in folders if f"tests/{folder}" != REAL), *BUSY]


def start(what: list[str], said: IO[bytes] | None) -> Half:
    """Start one half; it speaks into `said`, or to whom we speak."""
    cache = f"cache_dir=.pytest_cache/{Path(what[0]).name}"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not long", "-o", cache, *what]
    return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)


def interrupt(halves: list[Half]) -> None:
    """Tell both to end what they have started, and themselves."""
    for half in halves:
        half.send_signal(signal.SIGINT)


def ended(half: Half) -> int:
    """Return its exit code. A terminal's Ctrl-C reaches it, too; it takes a moment to end what it has started."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return half.wait()


def main() -> int:
    """Run both halves; return 0 when both passed."""
    print(f"{REAL}, and beside it what is told below, {', '.join(others())}:", flush=True)
    with tempfile.TemporaryFile() as said:
        halves = [start(others(), said), start([REAL, *(f"--deselect={file}" for file in BUSY)], None)]
        signal.signal(signal.SIGTERM, lambda *_: interrupt(halves))
        codes = [ended(half) for half in halves]
        said.seek(0)
        print(f"\n{', '.join(others())}:", said.read().decode(errors="replace"), sep="\n", flush=True)
    return next((1 if code < 0 else code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
