"""A gateway in a process of its own, for the demo and the bench: started, watched, killed and started again.

The demo and the bench judge the real program, so they run it as systemd would: a child process with a configuration
file, and nothing shared with it but that file and its sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PORT_MIN = 16_384
_ports = itertools.count(os.getpid() * 1009)


class ChildFailed(Exception):
    """The gateway did not start or ended by itself; carries the last lines it wrote."""


def free_port() -> int:
    """Return a loopback port that nobody listens on, below those that the kernel gives to whoever asks for any.

    Whoever connects, or listens on port 0, cannot get it before we use it; and two of us begin far from each other.
    """
    span = max(_ephemeral() - PORT_MIN, 0)
    for _ in range(span):
        port = PORT_MIN + next(_ports) % span
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ephemeral() -> int:
    """Return the lowest port that the kernel gives out by itself; 0 where it does not say."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 0


@dataclass(slots=True)
class GatewayProcess:
    """The daemon as a child process."""

    config: Path
    log: Path
    program: tuple[str, ...] = (sys.executable, "-m", "gateway")
    start_timeout_s: float = START_TIMEOUT_S
    """A traced process on a machine that does a dozen other things needs longer than one that people wait for."""
    process: asyncio.subprocess.Process | None = field(default=None)

    @property
    def pid(self) -> int:
        """Process id; asserts that the child was started."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Return once the gateway says that it takes scans; raise ChildFailed if it ends before, or takes too long.

        It says so as it says it to systemd: READY=1 on the socket named by NOTIFY_SOCKET.
        """
        path = self.log.with_suffix(".notify")
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, self.log.open("ab") as log:
            notify.bind(str(path))
            notify.setblocking(False)
            self.process = await asyncio.create_subprocess_exec(
                *(*self.program, "run", "--config", str(self.config)),
                stdout=log,
                stderr=log,
                env=os.environ | {"NOTIFY_SOCKET": str(path)},
            )
            is_ready = False
            try:
                has_ended = await self._ended_before_ready(notify)
                is_ready = has_ended is None
            finally:
                if not is_ready:
                    self._abandon()  # whoever was to stop it does not know of it yet
        if not is_ready:
            late = "" if has_ended else f"not ready after {self.start_timeout_s:.0f} s; "
            raise ChildFailed(late + self.last_words())

    async def _ended_before_ready(self, notify: socket.socket) -> bool | None:
        """Return None when it says READY=1, True when it ends before, False when it does neither in time."""
        assert self.process is not None
        ready = asyncio.ensure_future(_said_ready(notify))
        ended = asyncio.ensure_future(self.process.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=self.start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            return None if ready.done() else ended.done()
        finally:
            for task in (ready, ended):
                task.cancel()

    def _abandon(self) -> None:
        """End a process that is not of use, at once."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def kill(self) -> None:
        """End the process as a power cut would: SIGKILL, no chance to say goodbye."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask the process to stop and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise ChildFailed(f"still running {STOP_TIMEOUT_S:.0f} s after {how.name}") from None

    def cpu_s(self) -> float:
        """Return the processor seconds the process has used, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mb(self, *, peak: bool = False) -> float:
        """Return the resident memory of the process in megabytes, now or at its highest."""
        wanted = "VmHWM:" if peak else "VmRSS:"
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(wanted):
                return int(line.split()[1]) / 1024
        raise ChildFailed("the process has ended")

    def last_words(self) -> str:
        """Return the end of what the process wrote."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-5:]) or "it said nothing"


async def _said_ready(notify: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while b"READY=1" not in await loop.sock_recv(notify, 4096):
        continue
