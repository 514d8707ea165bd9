"""System calls of a running gateway that fail or take long, by strace: nothing in the program knows of it.

    async with strace(pid, tmp_path / "trace", "fdatasync:error=EIO:when=1") as trace: ...

strace counts the calls of each thread by itself; only the writer of the outbox flushes and writes at an offset.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

ATTACH_S = 30.0
SENDS = "sendto,sendmsg,write,writev"
ACKNOWLEDGES = re.compile(r'sendto\(\d+<TCP:\[[^\]]*\]>, "(?:@|[^"]*\\"result\\": ?\\"stored)')
"""A PUBACK (0x40 is "@"), or a message or answer that says stored."""


def program() -> str:
    found = shutil.which("strace")
    assert found is not None, "strace is missing: install what tests/support/system_packages.sh names"
    return found


def prefix(inject: str, file: Path) -> tuple[str, ...]:
    """Return what to put before a command line so that its calls fail from the start."""
    return (
        program(),
        "-f",
        "-qq",
        "-o",
        str(file),
        "-e",
        f"trace={inject.partition(':')[0]}",
        "-e",
        f"inject={inject}",
    )


@dataclass(slots=True)
class Trace:
    """What strace wrote, in one order over all threads."""

    file: Path

    def lines(self) -> list[str]:
        return self.file.read_text(errors="replace").splitlines()

    def injected(self) -> list[int]:
        """Numbers of the lines whose call was made to fail."""
        return [number for number, line in enumerate(self.lines()) if "(INJECTED)" in line]

    def acknowledged_after(self, number: int) -> list[str]:
        """Lines after this one in which a device is told yes."""
        return [line for line in self.lines()[number + 1 :] if ACKNOWLEDGES.search(line)]


@contextlib.asynccontextmanager
async def strace(pid: int, file: Path, inject: str, *, watch: str = "") -> AsyncIterator[Trace]:
    """Attach to every thread of a process; returns when it is so. `watch`: further calls to write down."""
    calls = inject.partition(":")[0] + (f",{watch}" if watch else "")
    process = await asyncio.create_subprocess_exec(
        *(program(), "-f", "-yy", "-s", "300", "-p", str(pid), "-o", str(file)),
        *("-e", f"trace={calls}", "-e", f"inject={inject}", "-e", "signal=none"),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(ATTACH_S):
        said = await process.stderr.readline()
    assert b"attached" in said, f"strace cannot attach: {said.decode()} (run this test as root)"
    reading = asyncio.create_task(process.stderr.read())
    try:
        yield Trace(file)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await reading
